package api

import (
	"encoding/json"
	"testing"
)

func TestAnswersOfSendsAreWhatEncodingJSONWrites(t *testing.T) {
	full := deliveryOut{ClientID: "alice", Pos: "1700000000000-7", Online: true, Duplicate: true, State: "queued"}
	for _, out := range []any{
		&sendOut{ID: "x", Results: []deliveryOut{}},
		&sendOut{ID: "x", Results: []deliveryOut{{ClientID: "bob"}, full}, Duplicate: true},
		&sendOut{ID: `"`, Results: []deliveryOut{{ClientID: `\`}, {ClientID: "<"}, {ClientID: ">"}, {ClientID: "&"}}},
		&sendOut{ID: `"\<>&`, Results: []deliveryOut{{ClientID: "ä\u2028\x7f"}, {ClientID: "a b~ !"}, {ClientID: "\t"}}},
		&batchOut{Results: []any{}},
		&batchOut{Results: []any{
			&sendOut{ID: "x", Results: []deliveryOut{full}}, &postOut{ID: "y", Pos: "1-2"}, fieldProblem(codeInvalidField, "to", "is <empty>"),
		}},
	} {
		want, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := out.(jsonAppender); !ok {
			t.Errorf("%T does not encode itself", out)
		}
		if got, err := appendJSON([]byte("x"), out); err != nil || string(got) != "x"+string(want) {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
}
