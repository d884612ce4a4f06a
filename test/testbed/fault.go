package testbed

import "syscall"

// StopAPIServer kills kube-apiserver: every connection breaks and new ones are refused until
// StartAPIServer. What it had stored is in etcd.
func (c *Cluster) StopAPIServer() { c.server().kill() }

// PauseAPIServer freezes kube-apiserver until ResumeAPIServer: connections stand and open, and
// no answer comes. That is how a stuck server or a lost network looks to its clients.
func (c *Cluster) PauseAPIServer() { c.server().pause() }

// ResumeAPIServer ends a pause.
func (c *Cluster) ResumeAPIServer() { c.server().signal(syscall.SIGCONT) }

func (c *Cluster) server() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apiserver
}
