package api

import "encoding/json"

// jsonAppender is an answer that is given so often that it encodes itself, without reflection. It writes what
// encoding/json would; a test compares them.
type jsonAppender interface {
	appendJSON(b []byte) []byte
}

// appendJSON appends an answer.
func appendJSON(b []byte, v any) ([]byte, error) {
	if a, ok := v.(jsonAppender); ok {
		return a.appendJSON(b), nil
	}
	text, err := json.Marshal(v)
	return append(b, text...), err
}

// appendText appends a string. What would have to be escaped is left to encoding/json, which also escapes what HTML
// takes for its own.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // a string always encodes
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

func (o *sendOut) appendJSON(b []byte) []byte {
	b = appendText(append(b, `{"id":`...), o.ID)
	b = append(b, `,"results":[`...)
	for i := range o.Results {
		if i > 0 {
			b = append(b, ',')
		}
		b = o.Results[i].appendJSON(b)
	}
	b = append(b, ']')
	if o.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	return append(b, '}')
}

func (o *deliveryOut) appendJSON(b []byte) []byte {
	b = appendText(append(b, `{"clientId":`...), o.ClientID)
	if o.Pos != "" {
		b = appendText(append(b, `,"pos":`...), o.Pos)
	}
	b = appendFlag(append(b, `,"online":`...), o.Online)
	if o.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	if o.State != "" {
		b = appendText(append(b, `,"state":`...), o.State)
	}
	return append(b, '}')
}

func (o *batchOut) appendJSON(b []byte) []byte {
	b = append(b, `{"results":[`...)
	for i, r := range o.Results {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendJSON(b, r); err != nil {
			panic("encode a result of a batch: " + err.Error()) // as in answer
		}
	}
	return append(b, "]}"...)
}
