package executortest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a process that runs on a host of the lab.
type Process struct {
	PID     int
	Host    string
	Command string
}

// Processes lists what runs on the hosts: every process that carries the lab's mark
// in its environment, or descends from one that does. The SSH servers are not among them. It reads /proc.
func (l *Lab) Processes() []Process {
	table := readProcesses()
	mark := []byte("\x00LAB_ID=" + l.id + "\x00")
	host := map[int]string{} // of every process that is ours
	for pid := range table {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		env = append([]byte{0}, env...)
		if bytes.Contains(env, mark) {
			host[pid] = variable(env, "LAB_HOST")
		}
	}
	var all []Process
	for pid, p := range table {
		for up := pid; up > 1 && len(all) <= len(table); up = table[up].parent {
			if name, ours := host[up]; ours {
				all = append(all, Process{pid, name, p.command})
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	return all
}

func variable(env []byte, name string) string {
	_, rest, _ := bytes.Cut(env, []byte("\x00"+name+"="))
	value, _, _ := bytes.Cut(rest, []byte{0})
	return string(value)
}

type procEntry struct {
	parent  int
	command string
}

// readProcesses reads the live processes; zombies are left out: they are not alive.
func readProcesses() map[int]procEntry {
	table := map[int]procEntry{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it is gone
		}
		// proc(5): "pid (comm) state ppid ..."; comm may hold anything, so look for the last ")".
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		line, _ := os.ReadFile(dir + "/cmdline")
		command := strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		table[pid] = procEntry{parent, command}
	}
	return table
}

// killProcesses kills what runs on the hosts and waits until it is gone.
func (l *Lab) killProcesses(wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		left := l.Processes()
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes outlived the lab: %v", left)
		}
		for _, p := range left {
			if p.PID != os.Getpid() {
				_ = syscall.Kill(p.PID, syscall.SIGKILL) // gone already, or another user's: found out by the next look
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}
