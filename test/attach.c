// SPDX-License-Identifier: GPL-2.0
/*
 * attach OBJECT COMMAND [ARG]...: runs COMMAND while all programs of an eBPF object are attached to
 * what their sections name.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>

int main(int argc, char **argv)
{
	struct bpf_object *object = argc > 2 ? bpf_object__open(argv[1]) : NULL;
	struct bpf_program *p;
	int status;

	if (!object) {
		fputs("usage: attach OBJECT COMMAND [ARG]...\n", stderr);
		return 2;
	}
	if (bpf_object__load(object))
		return 1;
	bpf_object__for_each_program(p, object)
		if (!bpf_program__attach(p))
			return 1;
	if (!fork()) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	wait(&status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
