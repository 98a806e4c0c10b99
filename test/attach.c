// SPDX-License-Identifier: GPL-2.0
/*
 * attach OBJECT COMMAND [ARG]...: runs COMMAND while the programs of an eBPF object are attached to
 * what their sections name; where that is not permitted, those at tracepoints alone.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>

static struct bpf_object *load(const char *path, bool functions)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *p;

	if (!object)
		return NULL;
	bpf_object__for_each_program(p, object) if (bpf_program__section_name(p)[0] == 'f')
		bpf_program__set_autoload(p, functions);
	if (!bpf_object__load(object))
		return object;
	bpf_object__close(object);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	struct bpf_program *p;
	int status;

	if (argc < 3) {
		fputs("usage: attach OBJECT COMMAND [ARG]...\n", stderr);
		return 2;
	}
	libbpf_set_print(NULL);
	object = load(argv[1], true);
	if (!object) {
		fputs("attach: no programs at functions\n", stderr);
		object = load(argv[1], false);
	}
	if (!object)
		return 1;
	bpf_object__for_each_program(p, object) if (bpf_program__autoload(p) &&
						    !bpf_program__attach(p)) return 1;
	if (!fork()) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	wait(&status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
