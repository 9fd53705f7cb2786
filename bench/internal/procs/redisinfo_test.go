package procs

import "testing"

func TestReadRedisInfo(t *testing.T) {
	r, err := StartRedis(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	before, err := ReadRedisInfo(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	after, err := ReadRedisInfo(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	if after.Commands <= before.Commands || after.ByName["info"] != before.ByName["info"]+1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if after.Memory < 100_000 {
		t.Errorf("Redis uses %d bytes", after.Memory)
	}
	r.Stop()
	if _, err := ReadRedisInfo(r.URL); err == nil {
		t.Error("a Redis that is gone has answered")
	}
}
