package executortest

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// labNames names the hosts of a lab: a gateway and a quarter of builders as
// soon as there are enough, the rest devices under test.
func labNames(n int) []string {
	var names []string
	if n >= 6 {
		names = append(names, "gw")
	}
	builders := min(n/4, 9)
	for i := range builders {
		names = append(names, fmt.Sprintf("build%02d", i+1))
	}
	for i := 1; len(names) < n; i++ {
		names = append(names, fmt.Sprintf("dut%02d", i))
	}
	return names
}

// groupOf is the group of a host, told by its name; "" is none.
func groupOf(name string) string {
	switch {
	case strings.HasPrefix(name, "build"):
		return "builders"
	case name == "gw":
		return ""
	}
	return "duts"
}

func rolesOf(group string) []string {
	switch group {
	case "builders":
		return []string{"build_server", "linux_system"}
	case "duts":
		return []string{"deploy", "linux_system", "testcase"}
	}
	return []string{"linux_system"}
}

// Inventory is the lab as an inventory file in tfw's own format.
func (l *Lab) Inventory() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# A throw-away lab: every host is this machine, under another loopback address.\nversion: 1\n")
	fmt.Fprintf(&b, "defaults:\n  ssh: {user: %s, port: %d, identity_file: %q, known_hosts: %q}\n",
		l.user, l.hosts[0].host.SSH.Port, l.IdentityFile(), l.KnownHosts())
	b.WriteString("groups:\n")
	var groups []string
	for _, g := range []string{"builders", "duts"} {
		if lines := l.inventoryHosts(g, "      "); lines != "" {
			fmt.Fprintf(&b, "  %s:\n    plugins: [%s]\n    hosts:\n%s", g, strings.Join(rolesOf(g), ", "), lines)
			groups = append(groups, g)
		}
	}
	fmt.Fprintf(&b, "  lab:\n    groups: [%s]\n", strings.Join(groups, ", "))
	if lines := l.inventoryHosts("", "  "); lines != "" {
		b.WriteString("hosts:\n" + lines)
	}
	return b.Bytes()
}

func (l *Lab) inventoryHosts(group, indent string) string {
	var b strings.Builder
	for _, h := range l.hosts {
		if groupOf(h.host.Name) != group {
			continue
		}
		extra := ""
		if group == "" {
			extra = ", plugins: [" + strings.Join(rolesOf(group), ", ") + "]"
		}
		vars := fmt.Sprintf("home: %q", h.home) // sshd starts commands in the account's own directory, which all hosts share
		if group == "duts" {                    // something for --where to look at
			vars = fmt.Sprintf("board: %s, ", board(h.host.Name)) + vars
		}
		extra += ", vars: {" + vars + "}"
		fmt.Fprintf(&b, "%s%s: {address: %s%s}\n", indent, h.host.Name, h.host.Address, extra)
	}
	return b.String()
}

// board gives devices under test one of two kinds, by the last digit of the name.
func board(name string) string {
	if strings.ContainsAny(name[len(name)-1:], "13579") {
		return "imx8"
	}
	return "rpi4"
}

// writeFiles writes what SSH clients read, known_hosts and ssh_config, and then what tfw reads.
func (l *Lab) writeFiles() error {
	var known, config bytes.Buffer
	for _, h := range l.hosts {
		addr := fmt.Sprintf("%s:%d", h.host.Address, h.host.SSH.Port)
		fmt.Fprintln(&known, knownhosts.Line([]string{addr}, h.key.signer.PublicKey()))
		fmt.Fprintf(&config, "Host %s\n  HostName %s\n", h.host.Name, h.host.Address)
	}
	fmt.Fprintf(&config, "Host *\n  Port %d\n  User %s\n  IdentityFile %q\n  IdentitiesOnly yes\n  UserKnownHostsFile %q\n  GlobalKnownHostsFile /dev/null\n"+
		"  StrictHostKeyChecking yes\n  BatchMode yes\n  LogLevel ERROR\n", l.hosts[0].host.SSH.Port, l.user, l.IdentityFile(), l.KnownHosts())
	if err := os.WriteFile(l.KnownHosts(), known.Bytes(), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(l.SSHConfig(), config.Bytes(), 0o600); err != nil {
		return err
	}
	whole := l.InventoryFile() + ".new" // who waits for the file finds it whole
	if err := os.WriteFile(whole, l.Inventory(), 0o600); err != nil {
		return err
	}
	return os.Rename(whole, l.InventoryFile())
}

// HostKey is the host's public key.
func (l *Lab) HostKey(name string) ssh.PublicKey {
	if h, ok := l.byName[name]; ok {
		return h.key.signer.PublicKey()
	}
	return nil
}
