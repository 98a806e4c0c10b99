// SPDX-License-Identifier: GPL-2.0
/*
 * netto: how much of each CPU the kernel's network stack takes.
 *
 * The kernel side (netto.bpf.c) keeps, per CPU, the time of each event, by the accounting rule that
 * it states: every nanosecond belongs to exactly one event. This side chooses and attaches the
 * probes that the kernel offers, marks each CPU at both ends of an interval, sleeps in between, and
 * prints the difference of the marks. All times are nanoseconds of CLOCK_MONOTONIC, read in the
 * kernel on the CPU that they are about; wall time is measured in the same way and independently of
 * the events, so that what they do not sum up to is seen (the residual).
 *
 * What it cannot see is listed in netto.bpf.c and in README.md.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "netto.skel.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NSEC_PER_SEC  1000000000ull
#define ENOTSUPP      524 /* the kernel's own, not in errno.h */

enum { EXIT_MEASURED, EXIT_FAILED, EXIT_USAGE, EXIT_IMPOSSIBLE };

/* Limits */
enum {
	MAX_CPUS = ARRAY_SIZE(((struct netto__bss *)0)->cpus),
	MAX_PROBES = ARRAY_SIZE(((struct netto__rodata *)0)->probes),
	MARK_TRIES = 100, /* a mark is spoilt only if it meets a program between two instructions */
};
#define MAX_SECONDS (366 * 86400.0)
#define MAX_COUNT   1e9

/* Options; written by parse_options() alone */
static struct {
	double seconds; /* length of an interval */
	long count;	/* intervals; 0: until interrupted */
	bool csv;
	bool verbose;
} opt = { .seconds = 10, .count = 1 };

/* Helpers */

static void message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line on stderr. */
static void message(const char *format, ...)
{
	va_list args;

	fputs("netto: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* CPU time of this process, ns. */
static void own_cpu_time(uint64_t *user_ns, uint64_t *kernel_ns)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	*user_ns = usage.ru_utime.tv_sec * NSEC_PER_SEC + usage.ru_utime.tv_usec * 1000;
	*kernel_ns = usage.ru_stime.tv_sec * NSEC_PER_SEC + usage.ru_stime.tv_usec * 1000;
}

/* A plain decimal number, as a whole, within [min, max]; false if it is anything else. */
static bool parse_number(const char *text, double min, double max, bool whole, double *number)
{
	char *end;

	if (!*text || text[strspn(text, whole ? "0123456789" : "0123456789.")])
		return false;
	*number = strtod(text, &end);
	return end != text && !*end && *number >= min && *number <= max;
}

/* The last CPU of a list such as "0-3,8,10-11", which is in order; -1 if it is no list. */
static int last_cpu(const char *list)
{
	const char *last = list;

	for (const char *p = list; *p; p++)
		if (*p == '-' || *p == ',')
			last = p + 1;
	return *last >= '0' && *last <= '9' ? (int)strtol(last, NULL, 10) : -1;
}

/* The highest id that a CPU of this machine can have, or -1 after a message. */
static int highest_cpu(void)
{
	static const char path[] = "/sys/devices/system/cpu/possible";
	char line[4096] = "";
	FILE *f = fopen(path, "re");
	int cpu;

	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
	}
	cpu = last_cpu(line);
	if (cpu < 0)
		message("cannot read %s: mount sysfs on /sys", path);
	return cpu;
}

/*
 * For tests alone: true if the word is in NETTO_WITHOUT, as if this host lacked it; test/lib.sh
 * says which.
 */
static bool without(const char *word)
{
	const char *list = getenv("NETTO_WITHOUT");

	return list && strstr(list, word);
}

/* Capabilities */

static uint64_t permitted_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	syscall(SYS_capget, &header, data);
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

/* Keeps one: kernels before 6.0 ask for CAP_BPF (before 5.8 CAP_SYS_ADMIN) even to mark a CPU. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};
	int keep = permitted_capabilities() >> CAP_BPF & 1 ? CAP_BPF : CAP_SYS_ADMIN;

	data[keep / 32].permitted = data[keep / 32].effective = 1u << keep % 32;
	if (syscall(SYS_capset, &header, data)) {
		message("cannot drop capabilities: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

/* Probes: open, choose, load, attach */

struct probe {
	struct bpf_program *entry, *exit; /* exit: NULL if there is none */
	struct bpf_link *entry_link, *exit_link;
	char kind[8];	 /* fentry, tp_btf: from the section name of the program */
	char target[40]; /* kernel function or tracepoint */
	int event;
	bool optional; /* a socket operation: some kernels have it, and some allow it */
	bool attached;
	char why_not[64];
};

struct session {
	struct netto *skel;
	struct probe probes[MAX_PROBES];
	struct bpf_link *mark_link; /* only where marks are made by renaming */
	bool rt, storage;	    /* PREEMPT_RT; parked in task storage */
	bool by_rename;		    /* BPF_PROG_TEST_RUN cannot run on a chosen CPU */
	int cpus;		    /* ids of CPUs are below this */
	int64_t residual[MAX_CPUS]; /* ns, at the last mark: what later marks must agree with */
	cpu_set_t affinity;	    /* our own, to go back to after marks by renaming */
};

static void refuse(struct probe *p, const char *why)
{
	snprintf(p->why_not, sizeof(p->why_not), "%s", why);
}

/* -v: what libbpf has to say, but not while programs that may be refused are tried. */
static bool trying = true;

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	if (!opt.verbose || trying || level == LIBBPF_DEBUG)
		return 0;
	fputs("netto: ", stderr);
	return vfprintf(stderr, format, args);
}

static struct bpf_program *find_program(struct netto *skel, const char *name, const char *suffix)
{
	char full[32];

	snprintf(full, sizeof(full), "%s%s", name, suffix);
	return bpf_object__find_program_by_name(skel->obj, full);
}

/*
 * Opens the object and decides, per probe, whether this kernel has its target; earlier refusals
 * stay.
 */
static int open_probes(struct session *s)
{
	s->skel = netto__open();
	if (!s->skel)
		return -errno;
	for (int i = 0; i < MAX_PROBES; i++) {
		struct probe *p = &s->probes[i];
		const char *name = (const char *)s->skel->rodata->probes[i].program, *section,
			   *slash;

		p->event = s->skel->rodata->probes[i].event;
		p->entry = find_program(s->skel, name, "");
		p->exit = find_program(s->skel, name, "_x");
		section = bpf_program__section_name(p->entry);
		slash = strchr(section, '/');
		snprintf(p->kind, sizeof(p->kind), "%.*s", (int)(slash - section), section);
		snprintf(p->target, sizeof(p->target), "%s", slash + 1);
		p->optional = !strcmp(p->kind, "fentry");
		if (!p->optional)
			continue;
		if (without("fentry"))
			refuse(p, "left out by NETTO_WITHOUT");
		if (!p->why_not[0] && bpf_program__set_attach_target(p->entry, 0, p->target))
			refuse(p, "not in this kernel, or its module is not loaded");
		if (!p->why_not[0])
			bpf_program__set_attach_target(p->exit, 0, p->target);
		bpf_program__set_autoload(p->entry, !p->why_not[0]);
		bpf_program__set_autoload(p->exit, !p->why_not[0]);
	}
	return 0;
}

/*
 * Opens and loads the core and the probes that are not refused; `only`, if any, instead of all the
 * optional ones.
 */
static int try_load(struct session *s, const struct probe *only)
{
	int err = open_probes(s), operations = 0;

	if (err)
		return err;
	for (int i = 0; i < MAX_PROBES; i++) {
		struct probe *p = &s->probes[i];

		if (p->optional && only && p != only) {
			bpf_program__set_autoload(p->entry, false);
			bpf_program__set_autoload(p->exit, false);
		}
		operations += p->optional && bpf_program__autoload(p->entry);
	}
	s->skel->rodata->rt = s->rt;
	s->skel->rodata->use_storage = s->storage;
	s->skel->rodata->use_parking = s->rt || operations;
	bpf_map__set_autocreate(s->skel->maps.netto_storage, s->storage && operations);
	bpf_map__set_autocreate(s->skel->maps.netto_saved, !s->storage && (s->rt || operations));
	if (without("room"))
		bpf_map__set_max_entries(s->skel->maps.netto_saved, 8);
	err = netto__load(s->skel);
	if (err) {
		netto__destroy(s->skel);
		s->skel = NULL;
	}
	return err;
}

/*
 * Loads all that this kernel takes. One program that is refused makes the whole object fail, so
 * then each socket operation is tried alone; when not permitted at all (hosts that refuse fentry),
 * once is enough.
 */
static int load_probes(struct session *s)
{
	int err = try_load(s, NULL);

	trying = false;
	if (!err)
		return 0;
	trying = true;
	for (int i = 0; i < MAX_PROBES; i++) {
		struct probe *p = &s->probes[i];

		if (!p->optional || p->why_not[0])
			continue;
		err = try_load(s, p);
		if (err)
			refuse(p, strerror(-err));
		for (int j = i + 1; err == -EPERM && j < MAX_PROBES; j++)
			if (s->probes[j].optional && !s->probes[j].why_not[0])
				refuse(&s->probes[j], strerror(-err));
		netto__destroy(s->skel);
		s->skel = NULL;
	}
	trying = false;
	return try_load(s, NULL);
}

/* Says why nothing can be loaded, and what would help. Returns the exit status. */
static int explain_load(int err)
{
	struct rlimit memlock;
	bool limited; /* as before 5.11; a helper of that release tells, as it tells libbpf */

	if (syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0) < 0 && errno == ENOSYS) {
		message("this kernel has no eBPF: it needs CONFIG_BPF_SYSCALL");
		return EXIT_IMPOSSIBLE;
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		message("this kernel gives no BTF in /sys/kernel/btf/vmlinux: it needs CONFIG_DEBUG_INFO_BTF");
		return EXIT_IMPOSSIBLE;
	}
	getrlimit(RLIMIT_MEMLOCK, &memlock);
	limited = libbpf_probe_bpf_helper(BPF_PROG_TYPE_SOCKET_FILTER, BPF_FUNC_ktime_get_coarse_ns,
					  NULL) != 1;
	if (err == -EPERM && limited && memlock.rlim_cur < 16 << 20) {
		message("cannot load the eBPF programs: RLIMIT_MEMLOCK is %llu kB: run `ulimit -l unlimited` first",
			(unsigned long long)memlock.rlim_cur / 1024);
		return EXIT_FAILED;
	}
	if (err == -EPERM) {
		message("this kernel refuses eBPF tracing: is it locked down (/sys/kernel/security/lockdown)?");
		return EXIT_IMPOSSIBLE;
	}
	message("cannot load the eBPF programs: %s: -v says more", strerror(-err));
	return EXIT_FAILED;
}

static int attach_probe(struct probe *p)
{
	int err;

	if (p->why_not[0])
		return 0;
	p->entry_link = bpf_program__attach(p->entry);
	if (p->entry_link && p->exit)
		p->exit_link = bpf_program__attach(p->exit);
	if (p->entry_link && (p->exit_link || !p->exit)) {
		p->attached = true;
		return 0;
	}
	err = -errno;
	bpf_link__destroy(p->entry_link);
	p->entry_link = NULL;
	if (!p->optional) {
		message("cannot attach to %s: %s", p->target, strerror(-err));
		return err;
	}
	refuse(p, strerror(-err));
	return 0;
}

/* In the order of the table, in which sched_switch, which lets the CPUs count, is last. */
static int attach_probes(struct session *s)
{
	for (int i = 0; i < MAX_PROBES; i++) {
		struct probe *p = &s->probes[i];

		if (i && p->entry == p[-1].entry) { /* one program that serves two events */
			p->attached = p[-1].attached;
		} else {
			int err = attach_probe(p);

			if (err)
				return err;
		}
	}
	return 0;
}

/* -v: what measures each event, and why not more. */
static void explain_probes(const struct session *s)
{
	if (!s->skel->rodata->use_parking)
		message("operations of tasks off the CPU: there are none to be kept");
	else if (s->storage)
		message("operations of tasks off the CPU are kept in task storage");
	else
		message("operations of tasks off the CPU are kept in a hash with room for %u tasks: %s",
			bpf_map__max_entries(s->skel->maps.netto_saved),
			s->rt ? "PREEMPT_RT has softirqs to keep too"
			      : "this kernel has no task storage");
	if (s->rt)
		message("PREEMPT_RT: softirqs belong to the tasks that run them");
	for (int i = 0; i < MAX_PROBES; i++) {
		const struct probe *p = &s->probes[i];
		const char *name = (const char *)s->skel->rodata->events[p->event].name;

		if (p->attached)
			message("%s: %s %s", name, p->kind, p->target);
		else
			message("%s: not %s %s: %s", name, p->kind, p->target, p->why_not);
	}
}

/* Returns 0, or the exit status after a message. */
static int start_probes(struct session *s)
{
	const uint64_t needed = 1ull << CAP_BPF | 1ull << CAP_PERFMON,
		       held = permitted_capabilities();
	struct utsname uts;
	int err;

	s->cpus = highest_cpu() + 1;
	if (!s->cpus)
		return EXIT_FAILED;
	if (s->cpus > MAX_CPUS) {
		message("this machine can have %d CPUs, and this netto was built for %d: raise MAX_CPUS in netto.bpf.c",
			s->cpus, MAX_CPUS);
		return EXIT_FAILED;
	}
	if (!(held >> CAP_SYS_ADMIN & 1) && (held & needed) != needed) {
		message("not permitted to use eBPF: run it as root, or with CAP_BPF and CAP_PERFMON");
		return EXIT_FAILED;
	}
	uname(&uts);
	s->rt = strstr(uts.version, "PREEMPT_RT");
	s->storage = !s->rt && !without("storage") &&
		     libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) == 1;
	err = load_probes(s);
	if (err)
		return explain_load(err);
	if (attach_probes(s))
		return EXIT_FAILED;
	sched_getaffinity(0, sizeof(s->affinity), &s->affinity);
	return drop_capabilities() ? EXIT_FAILED : 0;
}

static void stop_probes(struct session *s)
{
	for (int i = 0; i < MAX_PROBES; i++) {
		bpf_link__destroy(s->probes[i].entry_link);
		bpf_link__destroy(s->probes[i].exit_link);
	}
	bpf_link__destroy(s->mark_link);
	netto__destroy(s->skel);
}

/* Measuring */

/* What one CPU had at a mark, or between two. */
struct times {
	uint64_t wall_ns; /* 0: this CPU was not there */
	uint64_t ns[EV_MAX];
	uint64_t count[EV_MAX];
	uint64_t lost;	    /* operations that could not be parked */
	uint64_t unseen_ns; /* not in wall_ns: what it did is not known */
};

/* All CPUs at a mark, and what belongs to that moment. */
struct marks {
	struct times cpu[MAX_CPUS];
	uint64_t user_ns, kernel_ns; /* CPU time of this process */
	uint64_t recursion_misses;
	bool has_recursion_misses; /* the kernel counts them, from 5.12 */
	double time;		   /* Unix seconds */
};

static uint64_t sum_ns(const __u64 ns[16])
{
	uint64_t sum = 0;

	for (int e = 0; e < 16; e++)
		sum += ns[e];
	return sum;
}

/* Runs netto_mark on the CPU. Returns 0 or -errno; -ENXIO: the CPU is offline. */
static int run_mark(struct session *s, int cpu)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = cpu);
	char name[16];
	cpu_set_t set;
	int err;

	if (!s->by_rename) {
		err = without("test_run")
			      ? -EINVAL
			      : bpf_prog_test_run_opts(bpf_program__fd(s->skel->progs.netto_mark),
						       &run);
		if (err != -EINVAL && err != -ENOTSUPP && err != -EOPNOTSUPP)
			return err;
		s->mark_link = bpf_program__attach(s->skel->progs.netto_mark);
		if (!s->mark_link)
			return -errno;
		s->by_rename = true;
		if (opt.verbose)
			message("CPUs are marked by renaming this task on each: this kernel cannot run a program there");
	}
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return errno == EINVAL ? -ENXIO : -errno;
	prctl(PR_GET_NAME, name);
	prctl(PR_SET_NAME, name);
	return 0;
}

/*
 * Marks a CPU and reads it. A mark that met a program halfway shows a residual that the mark before
 * did not have: then it is made again. An offline CPU cannot be marked, and changes no more: it is
 * measured up to its last change.
 */
static int mark_cpu(struct session *s, int cpu, struct times *t)
{
	typeof(s->skel->bss->cpus[0]) *c = &s->skel->bss->cpus[cpu];
	const __u64 *ns = c->mark_ns;
	int64_t residual = s->residual[cpu];
	int err = 0;

	for (int i = 0; i < MARK_TRIES; i++) {
		err = run_mark(s, cpu);
		if (err)
			break;
		residual = c->mark_wall - sum_ns(c->mark_ns);
		if (residual == s->residual[cpu])
			break;
	}
	if (err == -ENXIO) {
		if (!c->task)
			return 0;
		ns = c->ns;
	} else if (err) {
		message("cannot mark CPU %d: %s", cpu, strerror(-err));
		return err;
	}
	s->residual[cpu] = residual;
	t->wall_ns = sum_ns(ns) + residual;
	for (int e = 0; e < EV_MAX; e++) {
		t->ns[e] = ns[e];
		t->count[e] = c->count[e];
	}
	t->lost = c->lost;
	t->unseen_ns = err ? c->unseen : c->mark_unseen;
	return 0;
}

/* Runs that the kernel skipped because the same program was under way on that CPU. */
static void read_recursion_misses(const struct session *s, struct marks *m)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, s->skel->obj)
	{
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (bpf_program__fd(p) < 0 ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &size))
			continue;
		m->has_recursion_misses |=
			size >= offsetof(struct bpf_prog_info, recursion_misses) + sizeof(__u64);
		m->recursion_misses += info.recursion_misses;
	}
}

static int mark_all(struct session *s, struct marks *m)
{
	int err = 0;

	memset(m, 0, sizeof(*m));
	for (int cpu = 0; !err && cpu < s->cpus; cpu++)
		err = mark_cpu(s, cpu, &m->cpu[cpu]);
	if (s->by_rename)
		sched_setaffinity(0, sizeof(s->affinity), &s->affinity);
	read_recursion_misses(s, m);
	own_cpu_time(&m->user_ns, &m->kernel_ns);
	m->time = now_ns(CLOCK_REALTIME) / 1e9;
	return err;
}

/*
 * Signals that end the measurement. A shell's background jobs ignore SIGINT: not this one. nohup is
 * respected.
 */
static sigset_t block_signals(void)
{
	struct sigaction old;
	sigset_t set;

	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (!sigaction(SIGHUP, NULL, &old) && old.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return set;
}

/*
 * Sleeps until `deadline_ns` of CLOCK_MONOTONIC. True if a signal came first; a second one then
 * kills.
 */
static bool wait_until(uint64_t deadline_ns, const sigset_t *ends)
{
	for (;;) {
		uint64_t now = now_ns(CLOCK_MONOTONIC);
		uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
		struct timespec timeout = { .tv_sec = left / NSEC_PER_SEC,
					    .tv_nsec = left % NSEC_PER_SEC };

		if (sigtimedwait(ends, NULL, &timeout) > 0) {
			sigprocmask(SIG_UNBLOCK, ends, NULL);
			return true;
		}
		if (errno == EAGAIN)
			return false;
	}
}

/* Results and their arithmetic */

struct event {
	const char *name;
	bool net;	/* a part of `net` */
	bool measured;	/* this host can */
	char hook[256]; /* KIND:TARGET+TARGET..., of what measures it */
};

struct result {
	struct event events[EV_MAX]; /* from EV_NONE + 1 on */
	struct utsname host;
	double time;		    /* Unix seconds at the end */
	int cpus;		    /* how many were measured */
	struct times all;	    /* their sum */
	struct times cpu[MAX_CPUS]; /* by id; wall_ns 0: not measured */
	uint64_t elapsed_ns;	    /* the longest time between the marks of a CPU */
	uint64_t residual_ns;	    /* what the events miss of wall time, all signs positive */
	uint64_t recursion_misses;
	bool has_recursion_misses;
	uint64_t user_ns, kernel_ns; /* CPU time of this process */
};

static void describe_events(const struct session *s, struct event events[EV_MAX])
{
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		events[e].name = (const char *)s->skel->rodata->events[e].name;
		events[e].net = s->skel->rodata->events[e].net;
		snprintf(events[e].hook, sizeof(events[e].hook), "none:");
	}
	for (int i = 0; i < MAX_PROBES; i++) {
		const struct probe *p = &s->probes[i];
		struct event *e = &events[p->event];
		size_t used = strlen(e->hook);

		if (!p->attached)
			continue;
		if (!e->measured)
			snprintf(e->hook, sizeof(e->hook), "%s:%s", p->kind, p->target);
		else
			snprintf(e->hook + used, sizeof(e->hook) - used, "+%s", p->target);
		e->measured = true;
	}
}

/* into += t, or with sign -1 the opposite. */
static void add_times(struct times *into, const struct times *t, int sign)
{
	into->wall_ns += sign * t->wall_ns;
	into->lost += sign * t->lost;
	into->unseen_ns += sign * t->unseen_ns;
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		into->ns[e] += sign * t->ns[e];
		into->count[e] += sign * t->count[e];
	}
}

/* `net` of a CPU's times or counts. */
static uint64_t sum_net(const struct result *r, const uint64_t values[EV_MAX])
{
	uint64_t sum = 0;

	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		if (r->events[e].net && r->events[e].measured)
			sum += values[e];
	return sum;
}

static double percent(uint64_t part_ns, uint64_t wall_ns)
{
	return wall_ns ? 100.0 * part_ns / wall_ns : 0;
}

/* The interval from mark `a` to mark `b`. */
static void subtract_marks(const struct marks *b, const struct marks *a, struct result *r)
{
	r->cpus = 0;
	r->elapsed_ns = r->residual_ns = 0;
	memset(&r->all, 0, sizeof(r->all));
	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct times *t = &r->cpu[cpu];
		int64_t residual;

		*t = b->cpu[cpu];
		add_times(t, &a->cpu[cpu], -1);
		if (!t->wall_ns)
			continue;
		residual = t->wall_ns;
		for (int e = EV_NONE + 1; e < EV_MAX; e++) {
			if ((int64_t)t->ns[e] < 0) /* a mark came between a clock and its use */
				t->ns[e] = 0;
			residual -= t->ns[e];
		}
		r->residual_ns += residual < 0 ? -residual : residual;
		if (t->wall_ns + t->unseen_ns > r->elapsed_ns)
			r->elapsed_ns = t->wall_ns + t->unseen_ns;
		r->cpus++;
		add_times(&r->all, t, 1);
	}
	r->time = b->time;
	r->user_ns = b->user_ns - a->user_ns;
	r->kernel_ns = b->kernel_ns - a->kernel_ns;
	r->recursion_misses = b->recursion_misses - a->recursion_misses;
	r->has_recursion_misses = b->has_recursion_misses;
}

/* Printing: pure functions of the result */

/*
 * Columns of the text after net: the events that each one sums up, 0-terminated. None measured:
 * `-`.
 */
static const struct {
	const char *header;
	int events[4];
} columns[] = {
	{ "rx", { EV_RX_SOFTIRQ } },
	{ "tx", { EV_TX_SOFTIRQ } },
	{ "recv", { EV_RECV } },
	{ "send", { EV_SEND } },
	{ "conn", { EV_CONN } },
	{ "work", {} },
	{ "irq", {} },
	{ "other", { EV_OTHER } },
	{ "idle", { EV_IDLE } },
};

static void print_table_row(FILE *f, const struct result *r, const char *name,
			    const struct times *t)
{
	fprintf(f, "%4s %6.2f", name, percent(sum_net(r, t->ns), t->wall_ns));
	for (unsigned i = 0; i < ARRAY_SIZE(columns); i++) {
		uint64_t ns = 0;
		bool measured = false;

		for (const int *e = columns[i].events; *e; e++) {
			if (!r->events[*e].measured)
				continue;
			measured = true;
			ns += t->ns[*e];
		}
		if (measured)
			fprintf(f, " %6.2f", percent(ns, t->wall_ns));
		else
			fprintf(f, " %6s", "-");
	}
	fputc('\n', f);
}

/* Percent of each CPU's time, the row of all CPUs first. */
static void print_table(FILE *f, const struct result *r)
{
	char name[12];

	fprintf(f, "netto: %s, %s %s %s, %d CPU%s, %.3f s, traced\n\n", r->host.nodename,
		r->host.sysname, r->host.release, r->host.machine, r->cpus, r->cpus == 1 ? "" : "s",
		r->elapsed_ns / 1e9);
	fprintf(f, "%4s %6s", "CPU", "net");
	for (unsigned i = 0; i < ARRAY_SIZE(columns); i++)
		fprintf(f, " %6s", columns[i].header);
	fputc('\n', f);
	print_table_row(f, r, "all", &r->all);
	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		if (!r->cpu[cpu].wall_ns)
			continue;
		snprintf(name, sizeof(name), "%d", cpu);
		print_table_row(f, r, name, &r->cpu[cpu]);
	}
	fprintf(f,
		"\nnetto itself: %.3f s user, %.3f s kernel; residual %" PRIu64
		" ns; lost: %.3f s unseen, %" PRIu64 " operations",
		r->user_ns / 1e9, r->kernel_ns / 1e9, r->residual_ns, r->all.unseen_ns / 1e9,
		r->all.lost);
	if (r->has_recursion_misses)
		fprintf(f, ", %" PRIu64 " recursions", r->recursion_misses);
	fputc('\n', f);
}

/* A field as RFC 4180 has it: quoted only where it must be. */
static void print_csv_field(FILE *f, const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, f);
		return;
	}
	fputc('"', f);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', f);
		fputc(*text, f);
	}
	fputc('"', f);
}

/* A CSV row; what is NULL or negative is not known, and its field empty. */
struct csv_row {
	const char *record, *cpu, *name;
	const uint64_t *ns, *count;
	double percent;
	const char *source;
};

static void print_csv_header(FILE *f)
{
	fputs("time,host,record,cpu,name,ns,percent,count,low_ns,high_ns,total_ns,source\n", f);
}

static void print_csv_row(FILE *f, const struct result *r, const struct csv_row *row)
{
	fprintf(f, "%.3f,", r->time);
	print_csv_field(f, r->host.nodename);
	fprintf(f, ",%s,%s,", row->record, row->cpu);
	print_csv_field(f, row->name);
	fputc(',', f);
	if (row->ns)
		fprintf(f, "%" PRIu64, *row->ns);
	fputc(',', f);
	if (row->percent >= 0)
		fprintf(f, "%.4f", row->percent);
	fputc(',', f);
	if (row->count)
		fprintf(f, "%" PRIu64, *row->count);
	fprintf(f, ",,,,%s\n", row->source ? row->source : "");
}

static void print_csv_events(FILE *f, const struct result *r, const char *cpu,
			     const struct times *t)
{
	uint64_t ns = sum_net(r, t->ns), count = sum_net(r, t->count);

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		if (!r->events[e].measured)
			continue;
		/* `other` is what no hook claims: it has no entries to count */
		print_csv_row(f, r,
			      &(struct csv_row) { "event", cpu, r->events[e].name, &t->ns[e],
						  e == EV_OTHER ? NULL : &t->count[e],
						  percent(t->ns[e], t->wall_ns), "traced" });
	}
	print_csv_row(f, r,
		      &(struct csv_row) { "event", cpu, "net", &ns, &count, percent(ns, t->wall_ns),
					  "traced" });
}

/* The rows of one interval; the header is printed apart. */
static void print_csv(FILE *f, const struct result *r)
{
	const struct csv_row run[] = {
		{ "run", "all", "elapsed", &r->elapsed_ns, NULL, -1, NULL },
		{ "run", "all", "residual", &r->residual_ns, NULL,
		  percent(r->residual_ns, r->all.wall_ns), NULL },
		{ "run", "all", "unseen", &r->all.unseen_ns, NULL, -1, NULL },
		{ "run", "all", "operations_lost", NULL, &r->all.lost, -1, NULL },
		{ "run", "all", "self_user", &r->user_ns, NULL, -1, NULL },
		{ "run", "all", "self_kernel", &r->kernel_ns, NULL, -1, NULL },
		{ "run", "all", "recursion_misses", NULL, &r->recursion_misses, -1, NULL },
	};
	char name[300];

	print_csv_events(f, r, "all", &r->all);
	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		if (!r->cpu[cpu].wall_ns)
			continue;
		snprintf(name, sizeof(name), "%d", cpu);
		print_csv_events(f, r, name, &r->cpu[cpu]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(run) - !r->has_recursion_misses; i++)
		print_csv_row(f, r, &run[i]);
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		snprintf(name, sizeof(name), "hook/%s=%s", r->events[e].name, r->events[e].hook);
		print_csv_row(f, r, &(struct csv_row) { "run", "all", name, NULL, NULL, -1, NULL });
	}
}

/* Returns 0, or -1 after a message: a report that did not arrive is a failure. */
static int print_report(const struct result *r, bool first)
{
	if (opt.csv) {
		if (first)
			print_csv_header(stdout);
		print_csv(stdout, r);
	} else {
		if (!first)
			putchar('\n');
		print_table(stdout, r);
	}
	if (fflush(stdout) || ferror(stdout)) {
		message("cannot write the report: %s", strerror(errno));
		return -1;
	}
	return 0;
}

/* Command line */

static const struct {
	struct option option;
	const char *help;
} options[] = {
	{ { "csv", no_argument, NULL, 'c' }, "CSV on stdout instead of text" },
	{ { "verbose", no_argument, NULL, 'v' },
	  "say on stderr what measures each event, and why not more" },
	{ { "help", no_argument, NULL, 'h' }, "print this and exit" },
	{ { "version", no_argument, NULL, 'V' }, "print the version and exit" },
};

static void print_usage(FILE *f)
{
	fputs("Usage: netto [OPTION]... [SECONDS [COUNT]]\n"
	      "Measures how much of each CPU the kernel's network stack takes: for 10 seconds, or for\n"
	      "SECONDS (a fraction is fine), COUNT times (0: until interrupted).\n\n",
	      f);
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		fprintf(f, "  -%c, --%-10s %s\n", options[i].option.val, options[i].option.name,
			options[i].help);
	fputs("\nExit status: 0 measured, 1 failed, 2 bad usage, 3 this kernel lets nothing be measured.\n"
	      "SIGINT, SIGTERM and SIGHUP end the run early: what was measured so far is reported.\n",
	      f);
}

/* Prints what -h and -V ask for. Returns the exit status. */
static int print_and_exit(bool version)
{
	if (version)
		puts("netto " VERSION);
	else
		print_usage(stdout);
	if (fflush(stdout)) {
		message("cannot write: %s", strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_MEASURED;
}

static int parse_arguments(int argc, char **argv)
{
	double count = opt.count;

	if (argc > 2) {
		message("too many arguments: '%s': --help says more", argv[2]);
		return EXIT_USAGE;
	}
	if (argc > 0 && !parse_number(argv[0], 0.001, MAX_SECONDS, false, &opt.seconds)) {
		message("SECONDS is '%s': it must be a number from 0.001 to %.0f", argv[0],
			MAX_SECONDS);
		return EXIT_USAGE;
	}
	if (argc > 1 && !parse_number(argv[1], 0, MAX_COUNT, true, &count)) {
		message("COUNT is '%s': it must be a whole number from 0 to %.0f", argv[1],
			MAX_COUNT);
		return EXIT_USAGE;
	}
	opt.count = count;
	return -1;
}

/* Returns -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv)
{
	struct option longs[ARRAY_SIZE(options) + 1] = {};
	char shorts[2 * ARRAY_SIZE(options) + 2] = ":";
	int c;

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		longs[i] = options[i].option;
		shorts[strlen(shorts)] = longs[i].val;
	}
	opterr = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			opt.csv = true;
			break;
		case 'v':
			opt.verbose = true;
			break;
		case 'h':
		case 'V':
			return print_and_exit(c == 'V');
		default:
			if (strncmp(argv[optind - 1], "--", 2) && optopt)
				message("unknown option '-%c': --help says more", optopt);
			else
				message("unknown option '%s': --help says more", argv[optind - 1]);
			return EXIT_USAGE;
		}
	}
	return parse_arguments(argc - optind, argv + optind);
}

/* Measures and reports interval after interval. Returns the exit status. */
static int run_intervals(struct session *s, const sigset_t *ends)
{
	static struct marks marks[2];
	static struct result r;
	uint64_t deadline_ns;
	bool ended = false;

	uname(&r.host);
	describe_events(s, r.events);
	if (mark_all(s, &marks[0]))
		return EXIT_FAILED;
	deadline_ns = now_ns(CLOCK_MONOTONIC);
	if (opt.verbose)
		message("measuring");
	for (long i = 0; !ended && (i < opt.count || !opt.count); i++) {
		deadline_ns += opt.seconds * NSEC_PER_SEC;
		ended = wait_until(deadline_ns, ends);
		if (mark_all(s, &marks[(i + 1) % 2]))
			return EXIT_FAILED;
		subtract_marks(&marks[(i + 1) % 2], &marks[i % 2], &r);
		if (print_report(&r, i == 0))
			return EXIT_FAILED;
	}
	return EXIT_MEASURED;
}

int main(int argc, char **argv)
{
	static struct session s;
	uint64_t began_ns = now_ns(CLOCK_MONOTONIC);
	sigset_t ends;
	int status = parse_options(argc, argv);

	if (status >= 0)
		return status;
	ends = block_signals();
	libbpf_set_print(print_libbpf);
	status = start_probes(&s);
	if (!status) {
		if (opt.verbose) {
			explain_probes(&s);
			message("ready after %.3f s", (now_ns(CLOCK_MONOTONIC) - began_ns) / 1e9);
		}
		status = run_intervals(&s, &ends);
	}
	stop_probes(&s);
	return status;
}
