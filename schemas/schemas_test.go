package schemas

import "testing"

func TestNameIsReversible(t *testing.T) {
	for original, want := range map[string]string{
		"productid": "productid", "a b": "a_x20_b", `Quoted_" . Table`: "Quoted__x22__x20__x2e__x20_Table", "1st": "_x31_st",
		"_x20_": "_x5f_x20_", "": "_x_", "_": "_", "\xff": "_yff_", "né": "n_xe9_",
	} {
		got := Name(original)
		if got != want {
			t.Errorf("Name(%q) = %q, want %q", original, got, want)
		}
		if back := Original(got); back != original {
			t.Errorf("Original(%q) = %q, want %q", got, back, original)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("a b")
	f.Add("__xy_")
	f.Add("_x_")
	f.Fuzz(func(t *testing.T, s string) {
		n := Name(s)
		if !legal(n) {
			t.Fatalf("Name(%q) = %q is not legal", s, n)
		}
		if back := Original(n); back != s {
			t.Fatalf("Original(Name(%q)) = %q", s, back)
		}
	})
}

func TestEnvelope(t *testing.T) {
	row := RecordOf("aw.sql.production.product.Row", NullableField("productid", Primitive(Int)), NullableField("listprice", DecimalOf(19, 4)))
	s, err := Envelope("aw.sql.production.product.Envelope", row)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(s.String())
	if err != nil {
		t.Fatal(err)
	}
	if again.String() != s.String() {
		t.Errorf("parsed and written again:\n%s\nwant\n%s", again, s)
	}
}
