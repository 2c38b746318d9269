package main

import "syscall"

// dieWithParent makes the system kill the server if this program ends.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
