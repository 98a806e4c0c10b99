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
	burn__destroy(skel);
	return NULL;
}

/* Returns whether it has made the qdisc, too. */
static bool attach_tc(struct bpf_tc_hook *hook, struct bpf_tc_opts *opts)
{
	int err = bpf_tc_hook_create(hook);

	if (err != -EEXIST)
		must(err, "clsact");
	must(bpf_tc_attach(hook, opts), "cls_bpf");
	return !err;
}

static void detach_tc(struct bpf_tc_hook *hook, struct bpf_tc_opts *opts, bool has_qdisc)
{
	opts->flags = opts->prog_fd = opts->prog_id = 0;
	bpf_tc_detach(hook, opts);
	hook->attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS; /* both: the qdisc */
	if (has_qdisc)
		bpf_tc_hook_destroy(hook);
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

static int run_hooks(void)
{
	struct burn *skel;

	libbpf_set_print(NULL);
	skel = load("empty", 0, true);
	if (!skel) {
		fputs("burn: no programs at functions\n", stderr);
		skel = load("empty", 0, false);
	}
	if (!skel)
		die(1, "load", errno);
	must(burn__attach(skel), "attach");
	wait_for_end();
	return 0;
}

int main(int argc, char **argv)
{
	struct bpf_tc_hook hook = { .sz = sizeof(hook) };
	struct bpf_tc_opts opts = { .sz = sizeof(opts) };
	bool is_tc, has_qdisc = false;
	struct burn *skel;

	if (argc == 2 && !strcmp(argv[1], "hooks"))
		return run_hooks();
	if (argc != 4) {
		fputs("usage: burn ingress|egress|prerouting DEVICE NS\n       burn hooks\n",
		      stderr);
		return 2;
	}
	is_tc = strcmp(argv[1], "prerouting");
	hook.attach_point = strcmp(argv[1], "egress") ? BPF_TC_INGRESS : BPF_TC_EGRESS;
	hook.ifindex = if_nametoindex(argv[2]);
	if (!hook.ifindex)
		die(1, argv[2], errno);
	if (!is_tc && !has_netfilter())
		die(CANNOT, "netfilter programs", EOPNOTSUPP);
	skel = load(is_tc ? "tc" : "nf", atoi(argv[3]), true);
	if (!skel)
		die(1, "load", errno);
	opts.prog_fd = bpf_program__fd(skel->progs.tc_burn);
	if (is_tc)
		has_qdisc = attach_tc(&hook, &opts);
	else
		attach_netfilter(bpf_program__fd(skel->progs.nf_burn));
	wait_for_end();
	if (is_tc)
		detach_tc(&hook, &opts, has_qdisc);
	printf("burnt_ns=%llu packets=%llu\n", skel->bss->burnt_ns, skel->bss->packets);
	return fflush(stdout) ? 1 : 0;
}
