package plugins

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestParseFactsOfABusyboxBoard(t *testing.T) {
	out := `os Linux
hostname dut07
memory MemTotal: 1024
ifconfig eth0      Link encap:Ethernet  HWaddr 02:00:00:00:00:01
ifconfig           inet addr:10.0.3.7  Bcast:10.0.3.255  Mask:255.255.255.0
ifconfig           inet6 addr: fe80::1/64 Scope:Link
ifconfig lo        Link encap:Local Loopback
ifconfig           inet addr:127.0.0.1  Mask:255.0.0.0
mount Filesystem 1024-blocks Used Available Mounted on
mount /dev/mmcblk0p1 100 40 60 /mnt/a b
disk mmcblk0 8 0 SD
disk broken -8 0
usable_cpus many
clock 1795373316 +0000
release PRETTY_NAME="Board ` + "\x1b[31m" + `Linux"
end
`
	f, ok := parseFacts([]byte(out))
	if !ok {
		t.Fatal("the end was not seen")
	}
	if want := []Address{{"eth0", "10.0.3.7", 32}, {"eth0", "fe80::1", 64}}; !reflect.DeepEqual(f.Addresses, want) {
		t.Errorf("addresses %+v, want %+v", f.Addresses, want)
	}
	if want := []Mount{{"/dev/mmcblk0p1", "/mnt/a b", 102400, 40960, 61440}}; !reflect.DeepEqual(f.Mounts, want) {
		t.Errorf("mounts %+v, want %+v", f.Mounts, want)
	}
	if want := (Disk{Name: "mmcblk0", Bytes: 4096, Model: "SD"}); len(f.Disks) != 2 || f.Disks[0] != want || f.Disks[1].Bytes != 0 {
		t.Errorf("disks %+v", f.Disks)
	}
	if f.Memory.Total != 1<<20 || f.CPUs.Usable != 0 || f.Distribution.Name != "Board Linux" || f.Clock.Time.Year() != 2026 {
		t.Errorf("%+v", f)
	}
}

func TestParseFactsWithoutItsEnd(t *testing.T) {
	if _, ok := parseFacts([]byte("os Linux\nen")); ok {
		t.Error("a cut probe was taken for a whole one")
	}
}

// FuzzParseFacts: whatever a host prints, the facts stay bounded and fit their schema.
func FuzzParseFacts(f *testing.F) {
	seeds, err := filepath.Glob("testdata/facts/*.txt")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range seeds {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	schema := schemaOf[Facts]()
	f.Fuzz(func(t *testing.T, out []byte) {
		facts, _ := parseFacts(out)
		doc, err := json.Marshal(facts)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Check(doc); err != nil {
			t.Errorf("%v\n%s", err, doc)
		}
		if len(facts.Mounts) > maxFactItems || len(facts.Tools) > maxFactItems {
			t.Error("unbounded")
		}
	})
}
