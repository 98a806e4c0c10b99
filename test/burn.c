// SPDX-License-Identifier: GPL-2.0
/*
 * burn - takes a known time at a place of the network stack, for the tests of netto
 *
 *	burn ingress|egress|prerouting DEVICE NS
 *	burn hooks
 *
 * Each UDP packet over IPv4 to port 9 takes NS nanoseconds longer (half of it to one and a half, by
 * chance): in tc's hook of the device, or in netfilter's prerouting of this network namespace (from
 * Linux 6.4 on). With hooks, programs that do nothing are at netto's hooks instead; where functions
 * cannot be hooked, those at tracepoints alone.
 *
 * Says "burn: burning" when it does. When it is told to end by SIGTERM, or after ten minutes, it
 * prints burnt_ns= and packets=: what it really was. Status 77: this kernel cannot do it.
 */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "test/burn.skel.h"

#define PORT	9 /* "discard": where load's udpsend and udppath send to */
#define CANNOT	77
#define SECONDS 600

/* What libbpf 1.1 and its headers do not know: from Linux 6.4's linux/bpf.h. */
#define TYPE_NETFILTER 32 /* BPF_PROG_TYPE_NETFILTER */
#define NETFILTER      45 /* BPF_NETFILTER */

static void die(int status, const char *what, int err)
{
	fprintf(stderr, "burn: %s: %s\n", what, strerror(err));
	exit(status);
}

static void must(int err, const char *what)
{
	if (err < 0)
		die(err == -ENOENT || err == -EOPNOTSUPP ? CANNOT : 1, what, -err);
}

static void attach_netfilter(int prog)
{
	struct {
		__u32 prog_fd, target_fd, attach_type, flags;
		__u32 family, hook;
		__s32 priority;
		__u32 netfilter_flags;
	} attr = {
		.prog_fd = prog,
		.attach_type = NETFILTER,
		.family = 2, /* NFPROTO_IPV4 */
		.hook = 0,   /* NF_INET_PRE_ROUTING */
		.priority = 1000,
	};

	if (syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)) < 0)
		die(1, "netfilter", errno);
}

static void attach_tc(struct bpf_tc_hook *hook, int prog)
{
	struct bpf_tc_opts opts = { .sz = sizeof(opts), .prog_fd = prog };

	int err = bpf_tc_hook_create(hook);

	if (err != -EEXIST)
		must(err, "clsact");
	must(bpf_tc_attach(hook, &opts), "cls_bpf");
}

/* Kernels with netfilter programs have their context. */
static bool has_netfilter(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool has = btf && btf__find_by_name_kind(btf, "bpf_nf_ctx", BTF_KIND_STRUCT) > 0;

	btf__free(btf);
	return has;
}

/* Loads the place's programs alone: their names begin with its kind. At functions: or not. */
static struct burn *load(const char *kind, unsigned ns, bool functions)
{
	struct burn *skel = burn__open();
	struct bpf_program *p;

	if (!skel)
		die(1, "open", errno);
	skel->rodata->burn_ns = ns;
	skel->rodata->port = PORT;
	bpf_program__set_type(skel->progs.nf_burn, TYPE_NETFILTER);
	bpf_program__set_expected_attach_type(skel->progs.nf_burn, NETFILTER);
	bpf_object__for_each_program(p, skel->obj) bpf_program__set_autoload(
		p, !strncmp(bpf_program__name(p), kind, strlen(kind)) &&
			   (functions || bpf_program__section_name(p)[0] != 'f'));
	if (!burn__load(skel))
		return skel;
	if (!functions || strcmp(kind, "empty"))
		die(1, "load", errno);
	fputs("burn: no programs at functions\n", stderr);
	burn__destroy(skel);
	return load(kind, ns, false);
}

/* Until told to end. */
static void wait_for_end(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fputs("burn: burning\n", stderr);
	sigtimedwait(&set, NULL, &(struct timespec) { .tv_sec = SECONDS });
}

int main(int argc, char **argv)
{
	struct bpf_tc_hook hook = { .sz = sizeof(hook) };
	const char *place = argc > 1 ? argv[1] : "";
	struct burn *skel;

	if (!strcmp(place, "hooks") && argc == 2) {
		skel = load("empty", 0, true);
		must(burn__attach(skel), "attach");
	} else if (argc != 4) {
		fputs("usage: burn ingress|egress|prerouting DEVICE NS\n       burn hooks\n",
		      stderr);
		return 2;
	} else if (!strcmp(place, "prerouting")) {
		if (!has_netfilter())
			die(CANNOT, "netfilter programs", EOPNOTSUPP);
		skel = load("nf", atoi(argv[3]), true);
		attach_netfilter(bpf_program__fd(skel->progs.nf_burn));
	} else {
		hook.attach_point = strcmp(place, "egress") ? BPF_TC_INGRESS : BPF_TC_EGRESS;
		hook.ifindex = if_nametoindex(argv[2]);
		skel = load("tc", atoi(argv[3]), true);
		attach_tc(&hook, bpf_program__fd(skel->progs.tc_burn));
	}
	wait_for_end();
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS; /* both: the qdisc, with its program */
	bpf_tc_hook_destroy(&hook);
	printf("burnt_ns=%llu packets=%llu\n", skel->bss->burnt_ns, skel->bss->packets);
	return fflush(stdout) ? 1 : 0;
}
