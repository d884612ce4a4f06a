package ufm

// URL is where it listens: http://127.0.0.1:PORT, another one after each Start. Its user is
// User, with Password.
func (u *Sim) URL() string { return u.url }

// User and Password are of the only account.
const (
	User     = "admin"
	Password = "lab"
)
