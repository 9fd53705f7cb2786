package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the YAML file: settings fit in a few KiB, so a larger file is
// a wrong path.
const maxFile = 1 << 20

// readFile takes the YAML file at path: one mapping of settings' names to
// plain values. Names that belong to another program are skipped.
func (s *Set) readFile(path string) (map[string]given, []error) {
	root, err := parseFile(path)
	if err != nil {
		return nil, []error{fmt.Errorf("settings file (%s): %w", Env(configName), err)}
	}
	if root == nil {
		return nil, nil
	}
	values := make(map[string]given)
	seen := make(map[string]bool)
	var bad []error
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		where := fmt.Sprintf("%s:%d", path, key.Line)
		st := s.byName[key.Value]
		switch {
		case seen[key.Value]:
			bad = append(bad, fmt.Errorf("%s: %s is there twice: remove one", where, key.Value))
		case key.Value == configName:
			bad = append(bad, fmt.Errorf("%s: a settings file cannot name another: remove %s", where, configName))
		case st == nil && isForeign(key.Value):
		case st == nil:
			bad = append(bad, fmt.Errorf("%s: unknown setting %s: %s", where, key.Value,
				s.advice("", key.Value, func(n string) string { return n })))
		default:
			text, err := plainValue(value, st.list)
			if err != nil {
				bad = append(bad, fmt.Errorf("%s: %s: %w", where, key.Value, err))
				break
			}
			values[key.Value] = given{text: text, where: where}
		}
		seen[key.Value] = true
	}
	return values, bad
}

// parseFile returns the mapping in the file, nil if the file is empty.
func parseFile(path string) (*yaml.Node, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %s: is it the right file?", path, FormatBytes(maxFile))
	}
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s holds more than one YAML document: keep one", path)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: want lines of the form name: value", path, root.Line)
	}
	return root, nil
}

// plainValue returns a scalar as it is written, or the values of a sequence
// joined by commas. It never quotes the value, which may be a secret.
func plainValue(node *yaml.Node, list bool) (string, error) {
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		return "", errors.New("has no value: write one or remove the line")
	case node.Kind == yaml.ScalarNode:
		return node.Value, nil
	case node.Kind == yaml.SequenceNode && list:
		parts := make([]string, 0, len(node.Content))
		for _, n := range node.Content {
			text, err := plainValue(n, false)
			if err != nil {
				return "", err
			}
			if strings.Contains(text, ",") {
				return "", errors.New("a value in the list contains a comma: split it")
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, ","), nil
	case list:
		return "", errors.New("want a plain value or a list of plain values")
	default:
		return "", errors.New("want a plain value")
	}
}
