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

// PauseEtcd freezes etcd until ResumeEtcd: kube-apiserver lives and takes requests, and can
// neither read nor write. In short turns that is an etcd on a slow disk.
func (c *Cluster) PauseEtcd() { c.store().pause() }

// ResumeEtcd ends a pause.
func (c *Cluster) ResumeEtcd() { c.store().signal(syscall.SIGCONT) }

func (c *Cluster) server() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apiserver
}

func (c *Cluster) store() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.etcd
}
