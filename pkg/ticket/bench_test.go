package ticket

import (
	"testing"
	"time"
)

func BenchmarkVerify(b *testing.B) {
	k := keys(b, key("a", keyA))
	token, err := k.Sign(Claims{ClientID: "client-000001", ExpiresAt: time.Now().Add(30 * time.Second)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignSession(b *testing.B) {
	k := keys(b, key("a", keyA))
	s := Session{ClientID: "client-000001", Device: "default", ConnID: "00ff0123456789abcdef", Origin: "00ff0123456789abcdef", JTI: "PNSCKNXQSJVFC2SH7J3VFJZR2A"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.SignSession(s); err != nil {
			b.Fatal(err)
		}
	}
}
