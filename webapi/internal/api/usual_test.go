package api

import (
	"reflect"
	"testing"
	"unicode/utf8"
)

func TestUsualSendsAreReadInOneGo(t *testing.T) {
	for _, c := range []struct {
		body string
		want bool
	}{
		{`{"to":"alice","from":"bob","data":{"text":"a \"quoted\" word, {braces} and [more]"}}`, true},
		{" {\n\t\"to\" : \"älice\" , \"data\" : [1, {\"a\":[]}, \"]\"] , \"id\" : \"7\", \"ephemeral\" : true }\r\n", true},
		{`{"data":"text","to":"a","ephemeral":false}`, true},
		{`{"data":-1.5e3 ,"to":"a"}`, true},
		{`{"to":"a","data":null}`, true},
		{`{"to":["a","b"],"data":1}`, false},
		{`{"to":"a\u0062","data":1}`, false},
		{`{"To":"a","data":1}`, false},
		{`{"to":"a","to":"b","data":1}`, false},
		{`{"to":"a","data":1,"data":2}`, false},
		{`{"to":"a","from":"b","from":"c","data":1}`, false},
		{`{"to":"a","ephemeral":true,"ephemeral":false,"data":1}`, false},
		{`{"to":"a","from":null,"data":1}`, false},
		{`{"to":"a","ephemeral":1,"data":1}`, false},
		{`{"to":"a","kind":"direct","data":1}`, false},
		{`{"to":"a","echo":true,"data":1}`, false},
		{`{"to":"a","data":{"a":1}`, false},
		{`{"to":"a","data":{"a":1]}}`, false},
		{`{"to":"a","data":01}`, false},
		{`{"to":"a","data":}`, false},
		{`{"to":"a","data":"b`, false},
		{`{"to":"a","data":"b\`, false},
		{`{"to":"a","data":1}x`, false},
		{`{"to":"a","data":1,}`, false},
		{`{"to":"a" "data":1}`, false},
		{"{\"to\":\"a\nb\",\"data\":1}", false},
		{`{}`, false},
		{``, false},
	} {
		in := directBody{}
		if got := in.readUsual([]byte(c.body)); got != c.want {
			t.Errorf("%s: %v, want %v", c.body, got, c.want)
		} else if !got && !reflect.DeepEqual(in, directBody{}) {
			t.Errorf("%s left %+v", c.body, in)
		}
	}
}

func TestUsualItemsOfABatchAreReadInOneGo(t *testing.T) {
	in := batchIn{}
	body := `{"sends":[{"kind":"direct","to":"a","data":1},{"kind":"group","group":"g","data":2},{"to":"a","data":3},{"kind":"direct","to":["b"],"data":4}]}`
	if !in.readUsual([]byte(body)) || len(in.Sends) != 4 {
		t.Fatalf("%d sends", len(in.Sends))
	}
	for i, direct := range []bool{true, false, false, false} {
		if (in.Sends[i].direct != nil) != direct {
			t.Errorf("send %d: %+v", i, in.Sends[i])
		}
	}
	for _, body := range []string{`{"sends":[]}`, `{"sends":[1,]}`, `{"sends":[{"kind":"direct"}]`, `{"sends":[1],"x":2}`, `{"sends":{}}`} {
		if in := (batchIn{}); in.readUsual([]byte(body)) || in.Sends != nil {
			t.Errorf("%s: %+v", body, in)
		}
	}
}

// FuzzUsual checks that nothing is read in one go that encoding/json would refuse, or read otherwise.
func FuzzUsual(f *testing.F) {
	f.Add([]byte(`{"to":"alice","from":"bob","id":"x","data":{"a":["b\"",1e3,null]},"ephemeral":true}`))
	f.Add([]byte(`{"sends":[{"kind":"direct","to":"a","data":"x"},{"kind":"broadcast","data":2},7]}`))
	f.Add([]byte(` { "data" : null , "to" : "a" , "ephemeral" : false } `))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) {
			return // refused before
		}
		var quick, slow directBody
		if quick.readUsual(b) {
			if err := decodeStrict(b, &slow); err != nil || !reflect.DeepEqual(quick, slow) {
				t.Errorf("%q: %+v, want %+v, %v", b, quick, slow, err)
			}
		}
		var quicks, slows batchIn
		if !quicks.readUsual(b) {
			return
		}
		if err := decodeStrict(b, &slows); err != nil || len(quicks.Sends) != len(slows.Sends) {
			t.Fatalf("%q: %d sends, want %d, %v", b, len(quicks.Sends), len(slows.Sends), err)
		}
		for i := range quicks.Sends {
			got, err1 := quicks.Sends[i].decode()
			want, err2 := slows.Sends[i].decode()
			if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(err1, err2) {
				t.Errorf("%q: send %d: %+v, %v, want %+v, %v", b, i, got, err1, want, err2)
			}
		}
	})
}
