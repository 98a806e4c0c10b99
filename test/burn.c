// SPDX-License-Identifier: GPL-2.0
/*
 * burn - makes a place of the network stack take a known time, for the tests of netto
 *
 *	burn PLACE DEVICE NS COMMAND [ARG]...
 *
 * While COMMAND runs, each UDP packet over IPv4 to port 9 takes NS nanoseconds longer (half of it to
 * one and a half, by chance): in tc's hook of the device (PLACE ingress or egress), or in
 * netfilter's prerouting (of this network namespace; Linux 6.4 and newer). Says "burn: burning" when
 * it does, and at the end burnt_ns= and packets=, what it really was, and gap_ns=, how much of it
 * something interrupted for more than 10 us. Ends with COMMAND's status; 77: this kernel cannot do
 * it.
 */
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "test/burn.skel.h"

#define PORT		9	/* "discard": where load's udpsend and udppath send to */
#define CANNOT		77

/* What libbpf 1.1 and its headers do not know: from Linux 6.4's linux/bpf.h. */
#define TYPE_NETFILTER	32	/* BPF_PROG_TYPE_NETFILTER */
#define NETFILTER	45	/* BPF_NETFILTER */

struct link_create {
	__u32 prog_fd, target_fd, attach_type, flags;
	struct {
		__u32 pf, hooknum;
		__s32 priority;
		__u32 flags;
	} netfilter;
};

/* Where the program is attached; what was made for it is taken away by detach(). */
struct place {
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;
	bool is_tc, has_qdisc, attached;
	int link;
};

static void die(int status, const char *what, int err)
{
	fprintf(stderr, "burn: %s: %s\n", what, strerror(err));
	exit(status);
}

static int status_of(int err)
{
	return err == ENOENT || err == EOPNOTSUPP ? CANNOT : 1;
}

static void detach(struct place *p)
{
	p->opts.flags = p->opts.prog_fd = p->opts.prog_id = 0;
	if (p->attached)
		bpf_tc_detach(&p->hook, &p->opts);
	p->hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;	/* both: the qdisc */
	if (p->has_qdisc)
		bpf_tc_hook_destroy(&p->hook);
	if (p->link >= 0)
		close(p->link);
}

static void attach_tc(struct place *p, int prog)
{
	int err = bpf_tc_hook_create(&p->hook);

	if (err && err != -EEXIST)
		die(status_of(-err), "clsact", -err);
	p->has_qdisc = !err;
	p->opts.prog_fd = prog;
	err = bpf_tc_attach(&p->hook, &p->opts);
	if (err) {
		detach(p);
		die(status_of(-err), "cls_bpf", -err);
	}
	p->attached = true;
}

static void attach_netfilter(struct place *p, int prog)
{
	struct link_create attr = {
		.prog_fd = prog, .attach_type = NETFILTER,
		.netfilter = { .pf = 2 /* NFPROTO_IPV4 */, .hooknum = 0 /* PRE_ROUTING */,
			       .priority = 1000 },
	};

	p->link = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	if (p->link < 0)
		die(1, "netfilter", errno);
}

/* Kernels with netfilter programs have their context. */
static bool has_netfilter(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool has = btf && btf__find_by_name_kind(btf, "bpf_nf_ctx", BTF_KIND_STRUCT) > 0;

	btf__free(btf);
	return has;
}

/* The command is told of signals, and ends with this process; its status as a shell gives it. */
static int run(char **argv)
{
	sigset_t set, old;
	int status, signal;
	pid_t child;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		execvp(argv[0], argv);
		die(127, argv[0], errno);
	}
	if (child < 0)
		return 1;
	while (!waitpid(child, &status, WNOHANG)) {
		signal = sigwaitinfo(&set, NULL);
		if (signal > 0 && signal != SIGCHLD)
			kill(child, signal);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	struct place p = { .hook.sz = sizeof(p.hook), .opts.sz = sizeof(p.opts), .link = -1 };
	struct bpf_program *prog;
	struct burn *skel;
	int err, status;

	if (argc < 5) {
		fprintf(stderr, "usage: burn ingress|egress|prerouting DEVICE NS COMMAND [ARG]...\n");
		return 2;
	}
	p.is_tc = strcmp(argv[1], "prerouting");
	p.hook.attach_point = strcmp(argv[1], "egress") ? BPF_TC_INGRESS : BPF_TC_EGRESS;
	p.hook.ifindex = if_nametoindex(argv[2]);
	if (!p.hook.ifindex)
		die(1, argv[2], errno);
	skel = burn__open();
	if (!skel)
		die(1, "open", errno);
	if (!p.is_tc && !has_netfilter())
		die(CANNOT, "netfilter programs", EOPNOTSUPP);
	skel->rodata->burn_ns = strtoull(argv[3], NULL, 10);
	skel->rodata->port = PORT;
	prog = p.is_tc ? skel->progs.burn_tc : skel->progs.burn_nf;
	bpf_program__set_type(skel->progs.burn_nf, TYPE_NETFILTER);
	bpf_program__set_expected_attach_type(skel->progs.burn_nf, NETFILTER);
	bpf_program__set_autoload(skel->progs.burn_tc, p.is_tc);
	bpf_program__set_autoload(skel->progs.burn_nf, !p.is_tc);
	err = burn__load(skel);
	if (err)
		die(1, "load", -err);
	if (p.is_tc)
		attach_tc(&p, bpf_program__fd(prog));
	else
		attach_netfilter(&p, bpf_program__fd(prog));
	fprintf(stderr, "burn: burning\n");
	status = run(argv + 4);
	detach(&p);
	printf("burnt_ns=%llu packets=%llu gap_ns=%llu\n", skel->bss->burnt_ns, skel->bss->packets,
	       skel->bss->gap_ns);
	burn__destroy(skel);
	return fflush(stdout) ? 1 : status;
}
