package schemas

import "testing"

func TestDigestComesBackFromText(t *testing.T) {
	var d Digest
	d.Add([]byte("a row"))
	for _, want := range []Digest{{}, d, {Hi: 1}, {Lo: 1}, {^uint64(0), ^uint64(0)}} {
		if got, err := ParseDigest(want.String()); err != nil || got != want {
			t.Errorf("%v comes back as %v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "12", d.String() + "0", "+" + d.String()[1:], "xx" + d.String()[2:], d.String()[:31] + "g"} {
		if got, err := ParseDigest(bad); err == nil {
			t.Errorf("%q is the digest %v", bad, got)
		}
	}
}
