package ssh

import (
	"os"
	"os/user"
)

func processUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}
