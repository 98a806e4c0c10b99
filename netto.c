// SPDX-License-Identifier: GPL-2.0
/*
 * netto: measures how much of each CPU the kernel's network stack takes.
 *
 * The kernel side (netto.bpf.c) sums the time of each event per CPU. Its accounting rule gives each
 * nanosecond to exactly one event. This side chooses and attaches the probes that the kernel
 * offers. It marks each CPU at both ends of an interval, sleeps in between, and prints the
 * difference of the marks. Meanwhile the kernel side samples stacks, and counts equal ones. After
 * the interval this side classifies the stacks by stage. It divides the time of an event among
 * stages in proportion to their samples. All times are nanoseconds of CLOCK_MONOTONIC, which the
 * measured CPU itself reads. Wall time is measured independently of the events: its difference from
 * their sum is the residual. netto.bpf.c and README.md list the blind spots.
 *
 * Contents; each section begins with a banner such as "==== 4. Kernel symbols ====":
 *	1. Types and limits
 *	2. Options
 *	3. Helpers
 *	4. Kernel symbols
 *	5. Stages: classifying a stack
 *	6. Capabilities
 *	7. Energy
 *	8. Probes: choosing them
 *	9. Sampling: the table, kallsyms, the perf events
 *	10. Samples without eBPF: what netto_sample does
 *	11. Probes: loading, attaching and explaining them
 *	12. Marks: reading what CPUs have, and what /proc has
 *	13. The command, signals and waiting
 *	14. Profile: the samples of an interval, sorted
 *	15. Results and their arithmetic
 *	16. Printing text: what both reports have, and the long one
 *	17. Printing the short report: it answers before it lists
 *	18. Printing CSV
 *	19. Command line
 *	20. Running
 *	21. Appendix: the kernel functions of stages and activities
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "netto.skel.h"

#if defined(__arm__) && __ARM_ARCH < 6
/*
 * CPUs before ARMv6 have no atomic instructions. libgcc's substitutes jump to kernel helpers, which
 * kernels for later CPUs may lack (CONFIG_KUSER_HELPERS). These functions use musl's, for any CPU.
 */
extern void (*__a_barrier_ptr)(void);
extern int (*__a_cas_ptr)(int old, int new, volatile int *p);
void arm_barrier(void) __asm__("__sync_synchronize");
int arm_fetch_and_add(volatile int *p, int n) __asm__("__sync_fetch_and_add_4");
int arm_compare_and_swap(volatile int *p, int old,
			 int new) __asm__("__sync_val_compare_and_swap_4");

void arm_barrier(void)
{
	__a_barrier_ptr();
}

int arm_fetch_and_add(volatile int *p, int n)
{
	int old;

	do
		old = *p;
	while (__a_cas_ptr(old, old + n, p));
	return old;
}

int arm_compare_and_swap(volatile int *p, int old, int new)
{
	int seen;

	do
		seen = *p;
	while (seen == old && __a_cas_ptr(old, new, p));
	return seen;
}
#endif

/* Formats into an array of char. Text that does not fit is cut off. */
#define FORMAT(text, ...) snprintf(text, sizeof(text), __VA_ARGS__)
#define ARRAY_SIZE(a)	  (sizeof(a) / sizeof((a)[0]))
#define NSEC_PER_SEC	  1000000000ull
#define ENOTSUPP	  524 /* internal to the kernel, so not in errno.h */

enum { EXIT_MEASURED, EXIT_FAILED, EXIT_USAGE, EXIT_IMPOSSIBLE };

/* Shells exit with these if a command cannot be run. */
enum { EXIT_NOT_RUN = 126, EXIT_NOT_FOUND = 127 };

/* ==== 1. Types and limits ==== */

/* Variables of the kernel side have these types. */
typedef typeof(((struct netto__bss *)0)->cpus[0]) cpu_t;
typedef typeof(((struct netto__bss *)0)->stack_buf_layout) stack_buf_t;
typedef typeof(((struct netto__bss *)0)->polled_layout) polled_t;
typedef typeof(((polled_t *)0)->places[0]) place_t;
typedef typeof(((struct netto__bss *)0)->task_layout) task_t;

enum {
	MAX_CPUS = ARRAY_SIZE(((struct netto__bss *)0)->cpus),
	MAX_PROBES = ARRAY_SIZE(((struct netto__rodata *)0)->probes),
	MAX_DEPTH = ARRAY_SIZE(((struct netto__bss *)0)->stack_layout) - 1,
	POLLED_ROOM = ARRAY_SIZE(((polled_t *)0)->places),
	NOTED_STEAL = 2,    /* percent of all CPUs: less steal time is not printed */
	NOTED_THREAD = 1,   /* percent of a CPU: threads that use less are not printed */
	MAX_DEVICES = 10,   /* printed in text, and queues printed of each device */
	MAX_HZ = 100000,    /* the kernel's timer has a period of 10 us at least */
	MAX_RING_HZ = 2000, /* of samples without eBPF */
	MIN_FILES = 64,	    /* descriptors: with fewer, no eBPF program can even be tried */
	READ_TRIES = 100,   /* a try fails only if the CPU polls another device meanwhile */
	MARK_TRIES = 100,   /* a mark is spoilt only between a program's store and addition */
	/* A CPU's samples without eBPF. With its header page a ring is as large as the default of
	   kernel.perf_event_mlock_kb allows for each CPU. */
	RING_BYTES = 512 << 10,
};
#define MAX_SECONDS    (366 * 86400.0)
#define MAX_COUNT      1e9	   /* of intervals, and of stacks and tasks to print */
#define CALIBRATION_NS 2000000	   /* busy time in which CPU cycles are counted */
#define COUNTERS_NS    60000000000 /* between reads of counters, which wrap in minutes at least */
#define SHORT_SECONDS  2.0	   /* no countdown for intervals up to this length */

/* An event has these properties beside its row in netto.bpf.c. */
enum {
	RECEIVES = 1,	  /* all of its time is spent on received packets */
	HAS_CONTEXTS = 2, /* samples show its context: see contexts[] */
	HAS_LONGEST = 4,  /* hooks measure its longest stretch */
	BY_FUNCTIONS = 8, /* its functions are hooked */
	OF_THREADS = 16,  /* whole threads, which netto_switch recognizes by task fields */
};

/* clang-format off */
/* The text report has these columns behind the column net. */
enum {
	COLUMN_RX, COLUMN_TX, COLUMN_RECV, COLUMN_SEND, COLUMN_CONN, COLUMN_WORK, COLUMN_IRQ,
	COLUMN_OTHER, COLUMN_IDLE, TABLE_COLUMNS
};
static const char *const column_names[TABLE_COLUMNS] = {
	"rx", "tx", "recv", "send", "conn", "work", "irq", "other", "idle"
};

static const struct {
	int column;
	unsigned is;	   /* the properties above */
	const char *words; /* printed by --help events */
} event_kinds[EV_MAX] = {
	[EV_RX_SOFTIRQ] = { COLUMN_RX, RECEIVES | HAS_CONTEXTS | HAS_LONGEST,
		"reception of packets in the NET_RX softirq, wherever it runs" },
	[EV_TX_SOFTIRQ] = { COLUMN_TX, HAS_CONTEXTS | HAS_LONGEST, "the NET_TX softirq" },
	[EV_RECV] = { COLUMN_RECV, BY_FUNCTIONS, "programs that read from sockets" },
	[EV_SEND] = { COLUMN_SEND, BY_FUNCTIONS, "programs that write to sockets" },
	[EV_CONN] = { COLUMN_CONN, BY_FUNCTIONS,
		"connect, bind, listen, accept, shutdown and close" },
	[EV_NAPI_THREAD] = { COLUMN_WORK, RECEIVES | OF_THREADS,
		"threads that poll devices, the backlog or a cpumap" },
	[EV_BUSY_POLL] = { COLUMN_WORK, BY_FUNCTIONS, "busy polling, in a read or in epoll" },
	[EV_TCP_WORK] = { COLUMN_WORK, BY_FUNCTIONS, "TCP's small queues and timers" },
	[EV_NET_WORKER] = { COLUMN_WORK, BY_FUNCTIONS,
		"WireGuard, IPsec, kTLS, vhost-net, tun, NFQUEUE and their kind" },
	[EV_HARDIRQ] = { COLUMN_IRQ, RECEIVES | HAS_LONGEST,
		"interrupt handlers that scheduled a poll of a device" },
	[EV_NET_OTHER] = { COLUMN_WORK, 0,
		"network code that samples find in what no other event owns" },
	[EV_IO_WORKER] = { COLUMN_OTHER, OF_THREADS,
		"io_uring's workers outside of socket operations" },
	[EV_SOFTIRQ] = { COLUMN_OTHER, HAS_LONGEST,
		"softirqs of all other kinds: timers, tasklets, RCU, the scheduler's" },
	[EV_OTHER] = { COLUMN_OTHER, 0,
		"the rest of the busy time: user space and other system calls" },
	[EV_IDLE] = { COLUMN_IDLE, 0, "the idle task, and nothing that interrupts it" },
};
/* clang-format on */

static bool event_is(int event, unsigned what)
{
	return event_kinds[event].is & what;
}

/* ==== 2. Options ==== */

/* Written by parse_options() alone, but for `bold`: see open_report(). */
static struct {
	double seconds; /* length of an interval */
	long count;	/* how many intervals; 0: until interrupted */
	bool csv;
	bool folded;
	bool full; /* -l: the whole report */
	bool bold; /* the report goes to a terminal, and NO_COLOR is not set */
	bool verbose;
	enum { AUTO, TRACE, SAMPLE } mode;
	unsigned freq;	    /* -F, hertz: samples per second and CPU; 0: none */
	unsigned stacks;    /* -s, how many to print; UINT_MAX: the default */
	unsigned tasks;	    /* -t, how many to print; 0: tasks are not counted */
	const char *output; /* -o, file; NULL: stdout */
	char **command;	    /* arguments of the command to measure, as for execvp(); NULL: none */
} opt = { .seconds = 10, .count = 1, .freq = 997, .stacks = UINT_MAX };

static FILE *report; /* stdout, or the file of -o */

/* ==== 3. Helpers ==== */

/* The last line on stderr, a terminal, shows the progress. The next line overwrites it. */
static bool has_progress;
enum { PROGRESS_COLUMNS = 24 }; /* of the longest such line: "netto: putting on probes" */

static void clear_progress(void)
{
	if (has_progress)
		fprintf(stderr, "\r%*s\r", PROGRESS_COLUMNS, "");
	has_progress = false;
}

/* Prints one line on stderr. */
__attribute__((format(printf, 1, 2))) static void message(const char *format, ...)
{
	va_list args;

	clear_progress();
	fputs("netto: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static void show_progress(const char *what)
{
	struct winsize window;

	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &window) && window.ws_col &&
	    window.ws_col <= PROGRESS_COLUMNS)
		return; /* clear_progress() cannot erase a line that wraps */
	clear_progress();
	fprintf(stderr, "netto: %s", what);
	has_progress = true;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* This program and its present phase began at these times of CLOCK_MONOTONIC. */
static uint64_t program_began_ns, phase_ns;

/* Ends a phase of the program. With -v, prints when. */
static void tell_phase(const char *what)
{
	phase_ns = now_ns(CLOCK_MONOTONIC);
	if (opt.verbose)
		message("%s after %.3f s", what, (phase_ns - program_began_ns) / 1e9);
}

/* Prints on a terminal what the program does, if its phase has taken longer than a second. */
static void show_waiting(const char *what)
{
	if (!has_progress && now_ns(CLOCK_MONOTONIC) > phase_ns + NSEC_PER_SEC &&
	    isatty(STDERR_FILENO))
		show_progress(what);
}

/*
 * Returns b - a, or 0 if a sum went back. A sum of netto.bpf.c can go back if a mark comes between
 * a program's reading of the clock and its store. Some counters of the kernel go back, too.
 */
static uint64_t subtract(uint64_t b, uint64_t a)
{
	return (int64_t)(b - a) < 0 ? 0 : b - a;
}

static uint64_t timeval_ns(struct timeval t)
{
	return t.tv_sec * NSEC_PER_SEC + t.tv_usec * 1000;
}

/* Returns strerror(-err), but knows ENOTSUPP, too, and the cure for EMFILE. */
static const char *error_text(int err)
{
	return err == -ENOTSUPP ? "Not supported by this kernel"
	       : err == -EMFILE ? "Too many open files: raise RLIMIT_NOFILE (ulimit -n)"
				: strerror(-err);
}

/* Returns true if memory or descriptors ran out: the kernel may still support the request. */
static bool is_exhausted(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE;
}

/*
 * Raises the limit of open files: each CPU needs a descriptor, and the probes some 200. Returns
 * false after a message if the limit is too low to find out which programs this host takes.
 */
static bool raise_file_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		message("cannot raise RLIMIT_NOFILE: %s", strerror(errno));
	if (limit.rlim_max >= MIN_FILES)
		return true;
	message("only %llu files may be open: raise RLIMIT_NOFILE (ulimit -n) to 1024",
		(unsigned long long)limit.rlim_max);
	return false;
}

/* Adds a frame to the hash of a stack, as netto_count_stack() does. */
static uint64_t add_to_hash(uint64_t hash, uint64_t frame)
{
	hash = (hash ^ frame) * 0x9e3779b97f4a7c15; /* 2^64 / golden ratio */
	return hash ^ hash >> 32;
}

/* Parses a decimal number in [min, max], `whole` or not. Returns false if the text is none. */
static bool parse_number(const char *text, double min, double max, bool whole, double *number)
{
	char *end;

	if (text[strspn(text, whole ? "0123456789" : "0123456789.")])
		return false;
	*number = strtod(text, &end);
	return end != text && !*end && *number >= min && *number <= max;
}

/*
 * Parses a list of CPUs in ascending order, such as "0-3,8,10-11". Sets these CPUs in
 * cpus[MAX_CPUS], if `cpus` is not NULL. Returns the last CPU, or -1 if the list is malformed.
 */
static int parse_cpus(const char *list, bool *cpus)
{
	int last = -1;

	for (char *end; *list >= '0' && *list <= '9'; list = end + (*end == ',')) {
		long first = strtol(list, &end, 10);
		long to = *end == '-' ? strtol(end + 1, &end, 10) : first;

		if (first <= last || to < first || to >= INT_MAX)
			return -1;
		last = to;
		for (int cpu = first; cpus && cpu <= last && cpu < MAX_CPUS; cpu++)
			cpus[cpu] = true;
	}
	return last;
}

/* Appends to a text in `size` bytes. If not all fits, appends nothing and returns false. */
__attribute__((format(printf, 3, 4))) static bool append(char *text, size_t size,
							 const char *format, ...)
{
	size_t length = strlen(text), room = length < size ? size - length : 0, more;
	va_list args;

	va_start(args, format);
	more = vsnprintf(text + length, room, format, args);
	va_end(args);
	if (more >= room)
		text[length] = 0;
	return more < room;
}

/* Calls append() for an array of char. */
#define APPEND(text, ...) append(text, sizeof(text), __VA_ARGS__)

/*
 * Formats CPUs as the kernel does, "0-2,5", as far as there is room. The last one of
 * cpus[MAX_CPUS + 1] must be false.
 */
static void format_cpus(const bool *cpus, char *text, size_t size)
{
	text[0] = 0;
	for (int first = 0, last; first < MAX_CPUS; first = last + 1) {
		last = first;
		if (!cpus[first])
			continue;
		while (cpus[last + 1])
			last++;
		if (!append(text, size, first == last ? "%s%d" : "%s%d-%d", text[0] ? "," : "",
			    first, last))
			return;
	}
}

/* Reads at most `size` - 1 bytes of a file. Returns 0, or -errno with an empty `text`. */
static int read_small_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
	int err = length < 0 ? -errno : 0;

	text[length > 0 ? length : 0] = 0;
	if (fd >= 0)
		close(fd);
	return err;
}

/* Returns the number at the beginning of a file, or 0 if there is no file or no number. */
static __attribute__((format(printf, 1, 2))) uint64_t read_number(const char *format, ...)
{
	char path[PATH_MAX], text[32];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	read_small_file(path, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/*
 * Reads the kernel's list of "possible" or "online" CPUs: see parse_cpus(). Returns the last CPU,
 * or -1 after a message.
 */
static int read_cpus(const char *name, bool *cpus)
{
	char path[64], list[4096];
	int last, err;

	FORMAT(path, "/sys/devices/system/cpu/%s", name);
	err = read_small_file(path, list, sizeof(list));
	last = parse_cpus(list, cpus);
	if (last < 0)
		message("cannot read %s: %s", path,
			err == -ENOENT ? "mount sysfs on /sys" : strerror(-err));
	return last;
}

/*
 * Returns true if the word is in NETTO_WITHOUT, which tests set to make netto act as if this host
 * lacked a feature. test/lib.sh explains the words.
 */
static bool pretends_missing(const char *word)
{
	const char *list = getenv("NETTO_WITHOUT"), *end;
	size_t length = strlen(word);

	for (; list; list = (end = strchr(list, ' ')) ? end + 1 : NULL)
		if (!strncmp(list, word, length) && (!list[length] || list[length] == ' '))
			return true;
	return false;
}

/* ==== 4. Kernel symbols ==== */

struct symbol {
	uint64_t address;
	uint32_t name;	 /* offset in symbols.names, where names end before their first dot */
	uint32_t module; /* likewise; 0: the kernel itself */
	uint8_t padding; /* bytes before its first instruction; at most MAX_PADDING */
	bool bpf;	 /* the code of an eBPF program */
	uint32_t hash;	 /* of the name; 0: classify() has not set `bpf` and the members below */
	/* set by rules; 0: no rule matches */
	uint8_t stage, activity, context; /* indices of stages[], activities[] and contexts[] */
	uint8_t calls;			  /* stage of the functions that it calls by a pointer */
	uint8_t root;			  /* the event of which it is a root */
	uint8_t helper;			  /* 1: code of any stage calls it: it indicates none */
};

/* A rule sets a member of each struct symbol whose name it matches. */
struct rule {
	const char *name; /* not 0-terminated */
	uint8_t length;	  /* without the star */
	bool star;	  /* longer names match, too */
	bool module;	  /* the name is a module's, and matches its functions */
	uint8_t member;	  /* offset in struct symbol */
	uint8_t value;	  /* for that member */
};

/*
 * The first two symbols are not from kallsyms. UNKNOWN_SYMBOL stands for addresses in no known
 * function, TRACING_SYMBOL for all of the code that traces: see resolve_frames().
 */
enum { UNKNOWN_SYMBOL, TRACING_SYMBOL };

struct symbols {
	struct symbol *list; /* sorted by address */
	size_t count, room;
	char *names; /* 0-terminated, one after the other; the first one is empty */
	size_t used, size;
	uint64_t padding, padded; /* addresses of the last padding, and of its function if seen */
	uint32_t *modules;	  /* offsets of their names, in the order of kallsyms */
	size_t module_count, module_room;
	bool has_napi_poll; /* before 5.12 there is none: net_rx_action() calls the drivers */
	struct {
		uint64_t address;
		const struct symbol *symbol; /* NULL: this entry is empty */
	} cache[16384];			     /* of find_symbol(), by a hash of the address */
	/* free_symbols() keeps the members below, which are not from kallsyms */
	const struct netto__rodata *rodata; /* has the hooked functions */
	struct rule rules[2560];
	unsigned rule_count;
	bool has_kprobes; /* netto has attached some */
	const struct own_code *own;
};

/* The code of netto's own eBPF programs is here, as far as the kernel tells. */
struct own_code {
	unsigned count;
	struct {
		uint64_t address;
		uint32_t bytes;
	} functions[512];
};

enum {
	MAX_SYMBOLS = 1 << 22,
	MAX_CORE_FUNCTION = 1 << 20,   /* bytes: a function of the kernel itself ends by then */
	MAX_MODULE_FUNCTION = 1 << 16, /* the same for a module's */
	MAX_PADDING = 64,	       /* bytes before a function */
	BREAKPOINT_BYTES = 8, /* landing pad and first instruction: a kprobe's breakpoint is here */
};

/* Doubles an array when it is full; false if there is no memory. */
static bool grow(void **array, size_t *room, size_t used, size_t element)
{
	size_t wanted = *room ? 2 * *room : 4096;
	void *larger;

	if (used < *room)
		return true;
	larger = realloc(*array, wanted * element);
	if (!larger)
		return false;
	*array = larger;
	*room = wanted;
	return true;
}

/* Appends a name up to its first dot. Returns its offset, or 0 if there is no memory. */
static uint32_t add_name(struct symbols *s, const char *name, size_t length)
{
	uint32_t at = s->used;

	while (s->used + length + 1 > s->size)
		if (!grow((void **)&s->names, &s->size, s->size, 1))
			return 0;
	for (size_t i = 0; i < length && (name[i] != '.' || i == 0); i++)
		s->names[s->used++] = name[i];
	s->names[s->used++] = 0;
	return at;
}

static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261; /* FNV-1a */

	while (*name)
		hash = (hash ^ (uint8_t)*name++) * 16777619;
	return hash;
}

/* A function has a line in kallsyms such as "ffffffff81000000 t name\t[module]". */
struct line {
	uint64_t address; /* 0: hidden from this process */
	const char *name, *module;
	size_t length, module_length; /* 0: the kernel itself */
};

/* Parses a line. Returns false if it is not a function's. */
static bool parse_line(const char *p, const char *end, struct line *line)
{
	memset(line, 0, sizeof(*line));
	for (; p < end && *p != ' '; p++)
		line->address = line->address << 4 | ((*p & 15) + (*p >> 6) * 9);
	if (end - p < 4 || !strchr("tTwW", p[1]))
		return false;
	line->name = p += 3;
	while (p < end && *p != '\t')
		p++;
	line->length = p - line->name;
	if (p + 3 < end && p[1] == '[') {
		line->module = p + 2;
		line->module_length = end - line->module - (end[-1] == ']');
	}
	return line->length;
}

/*
 * Returns the offset of a module's name, and adds the name if it is new. kallsyms lists the
 * functions of a module together. If it lists the module again after others, the code was freed,
 * and ftrace remembers it: the result is 0. Without memory the result is -ENOMEM.
 */
static int add_module(struct symbols *s, const char *name, size_t length)
{
	size_t i = s->module_count;

	while (i && (strlen(s->names + s->modules[i - 1]) != length ||
		     memcmp(s->names + s->modules[i - 1], name, length)))
		i--;
	if (i)
		return i == s->module_count ? s->modules[i - 1] : 0;
	if (!grow((void **)&s->modules, &s->module_room, s->module_count, sizeof(*s->modules)))
		return -ENOMEM;
	s->modules[s->module_count] = add_name(s, name, length);
	return s->modules[s->module_count] ? (int)s->modules[s->module_count++] : -ENOMEM;
}

/*
 * Adds a function. Symbols __pfx_NAME and __cfi_NAME are the padding before the function NAME: all
 * names of that function begin at the padding. Returns 0 or -ENOMEM.
 */
static int add_symbol(struct symbols *s, const struct line *l)
{
	struct symbol new = { .address = l->address };

	if (l->length > 6 && (!memcmp(l->name, "__pfx_", 6) || !memcmp(l->name, "__cfi_", 6))) {
		s->padding = l->address;
		s->padded = 0;
		s->used = add_name(s, l->name + 6, l->length - 6);
		return s->used ? 0 : -ENOMEM; /* the next name overwrites this one */
	}
	if (s->padding && !s->padded && l->address - s->padding <= MAX_PADDING &&
	    !strncmp(s->names + s->used, l->name, strlen(s->names + s->used)))
		s->padded = l->address;
	else if (!s->padded)
		s->padding = 0;
	if (l->address == s->padded) {
		new.padding = s->padded - s->padding;
		new.address = s->padding;
	}
	if (l->module_length) {
		int module = add_module(s, l->module, l->module_length);

		if (module <= 0)
			return module;
		new.module = module;
	}
	new.name = add_name(s, l->name, l->length);
	if (!new.name || !grow((void **)&s->list, &s->room, s->count, sizeof(*s->list)))
		return -ENOMEM;
	s->list[s->count++] = new;
	s->has_napi_poll |= !strcmp(s->names + new.name, "__napi_poll");
	return 0;
}

static int keep_symbol(void *symbols, const char *start, const char *end)
{
	struct symbols *s = symbols;
	struct line l;

	if (!parse_line(start, end, &l) || !l.address || s->count == MAX_SYMBOLS)
		return 0;
	return add_symbol(s, &l);
}

/*
 * Calls `use` for each line of a file like /proc/kallsyms until one call does not return 0. `end`
 * is the end of the line. Returns the result of the last call, or -errno.
 */
static int read_kallsyms(int fd, int (*use)(void *to, const char *line, const char *end), void *to)
{
	static char buffer[1 << 16];
	size_t have = 0;
	ssize_t got = 0;
	int err = lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;

	while (!err && (got = read(fd, buffer + have, sizeof(buffer) - have)) > 0) {
		const char *line = buffer, *end = buffer + have + got, *newline;

		for (; !err && (newline = memchr(line, '\n', end - line)); line = newline + 1)
			err = use(to, line, newline);
		have = end - line == sizeof(buffer) ? 0 : end - line; /* no line is that long */
		memmove(buffer, line, have);
	}
	return !err && got < 0 ? -errno : err;
}

static int compare_symbols(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* Frees the functions, and keeps the rules. */
static void free_symbols(struct symbols *s)
{
	free(s->list);
	free(s->names);
	free(s->modules);
	memset(s, 0, offsetof(struct symbols, rodata));
}

/*
 * Reads all functions from a file like /proc/kallsyms. Returns 0 or -errno: -EACCES if the file
 * hides the addresses.
 */
static int read_symbols(struct symbols *s, int fd)
{
	static const struct line first[] = {
		[UNKNOWN_SYMBOL] = { .name = "[unknown]", .length = 9 },
		[TRACING_SYMBOL] = { .name = "[tracing]", .length = 9, .address = 1 },
	};
	int err = 0;

	free_symbols(s);
	add_name(s, "", 0);
	for (unsigned i = 0; !err && i < ARRAY_SIZE(first); i++)
		err = add_symbol(s, &first[i]);
	if (!err)
		err = read_kallsyms(fd, keep_symbol, s);
	if (!err && s->count == ARRAY_SIZE(first))
		err = -EACCES;
	if (!err)
		qsort(s->list, s->count, sizeof(*s->list), compare_symbols);
	return err;
}

static const char *name_of(const struct symbols *s, const struct symbol *symbol)
{
	return s->names + symbol->name;
}

/* Returns the first symbol of the function that holds the address, or UNKNOWN_SYMBOL's. */
static struct symbol *search_symbol(const struct symbols *s, uint64_t address)
{
	size_t low = 0, high = s->count;
	uint64_t size;

	while (high - low > 1) { /* the last symbol at or before the address is in [low, high) */
		size_t middle = low + (high - low) / 2;

		if (s->list[middle].address <= address)
			low = middle;
		else
			high = middle;
	}
	size = low <= TRACING_SYMBOL ? 0
	       : s->list[low].module ? MAX_MODULE_FUNCTION
				     : MAX_CORE_FUNCTION;
	for (unsigned i = 0; s->own && i < s->own->count; i++)
		if (s->own->functions[i].address == s->list[low].address)
			size = s->own->functions[i].bytes;
	if (address - s->list[low].address >= size)
		low = UNKNOWN_SYMBOL;
	while (low && s->list[low - 1].address == s->list[low].address)
		low--;
	return &s->list[low];
}

/* ==== 5. Stages: classifying a stack ==== */

/*
 * These tables and the appendix are all that netto knows of the kernel's functions. The names are
 * from the sources of Linux 5.10 to 7.3. A name that ends in a star matches longer names, too. A
 * full name takes precedence over the function's module, and the module over a name with a star.
 */

/* clang-format off */
enum {
	STAGE_NONE, STAGE_softirq, STAGE_napi, STAGE_driver, STAGE_virtual_poll, STAGE_ifb,
	STAGE_tun, STAGE_vhost, STAGE_wifi, STAGE_usbnet, STAGE_no_napi, STAGE_pktgen, STAGE_gro,
	STAGE_xdp, STAGE_xdp_generic, STAGE_xsk, STAGE_core, STAGE_rps, STAGE_backlog, STAGE_tc,
	STAGE_tc_egress, STAGE_nf_ingress, STAGE_nf_egress, STAGE_flowtable, STAGE_vlan, STAGE_bond,
	STAGE_team, STAGE_macvlan, STAGE_ipvlan, STAGE_netkit, STAGE_dsa, STAGE_hsr, STAGE_batadv,
	STAGE_macsec, STAGE_bridge, STAGE_nf_bridge, STAGE_bridge_nf, STAGE_ovs, STAGE_tunnel_rx,
	STAGE_tunnel_tx, STAGE_gtp, STAGE_mpls, STAGE_vrf, STAGE_ovpn, STAGE_wireguard, STAGE_xfrm,
	STAGE_crypto, STAGE_ip_rx_v4, STAGE_ip_rx_v6, STAGE_nf_prerouting_v4,
	STAGE_nf_prerouting_v6, STAGE_nf_input_v4, STAGE_nf_input_v6, STAGE_nf_forward_v4,
	STAGE_nf_forward_v6, STAGE_nf_output_v4, STAGE_nf_output_v6, STAGE_nf_postrouting_v4,
	STAGE_nf_postrouting_v6, STAGE_netfilter, STAGE_nfqueue, STAGE_conntrack, STAGE_nat,
	STAGE_nft, STAGE_iptables, STAGE_ipvs, STAGE_defrag, STAGE_early_demux, STAGE_route_v4,
	STAGE_route_v6, STAGE_multicast, STAGE_dst, STAGE_forward_v4, STAGE_forward_v6,
	STAGE_local_v4, STAGE_local_v6, STAGE_tcp_rx, STAGE_udp_rx, STAGE_socket_lookup, STAGE_icmp,
	STAGE_arp, STAGE_raw, STAGE_tap, STAGE_socket, STAGE_socket_free, STAGE_mptcp, STAGE_sctp,
	STAGE_family, STAGE_tls, STAGE_sockmap, STAGE_tcp_recv, STAGE_udp_recv, STAGE_connection,
	STAGE_sockopt, STAGE_tcp_tx, STAGE_udp_tx, STAGE_output_v4, STAGE_output_v6,
	STAGE_neighbour, STAGE_qdisc, STAGE_gso, STAGE_driver_tx, STAGE_bpf, STAGE_device,
	STAGE_lsm, STAGE_interrupt, STAGE_tracing, STAGE_unknown, STAGES
};
/* clang-format on */

static const struct stage {
	const char *name;
	const char *symbols;
	const char *modules;
	/*
	 * Functions of other stages that call functions of this stage. A called function's name
	 * does not tell the stage: it may be any driver's, nf_hook_slow(), or a retpoline, from
	 * which the kernel cannot unwind.
	 */
	const char *callers;
	enum {
		GENERIC = 1, /* unknown functions that it calls may be of any stage */
		NO_FORWARD,  /* an IP output that it calls forwards no packet: this host answers,
				or the packet was forwarded before */
		POINTER, /* functions that no rule knows are of this stage if `callers` call them */
		HOOK,	 /* netfilter's functions are of this stage if `callers` call them */
	} kind;
	const char *what; /* for --help stages, of at most 28 characters */
	bool shared;	  /* others than the network have it, too: it makes no stack net_other */
	bool receives;	  /* a stack with it as the outermost network stage receives packets */
} stages[STAGES];	  /* in the appendix */

enum {
	ACTIVITY_NONE,
	ACTIVITY_SKB_ALLOC,
	ACTIVITY_SKB_FREE,
	ACTIVITY_COPY,
	ACTIVITY_WAKE_UP,
	ACTIVITY_CHECKSUM,
	ACTIVITY_LOCK,
	ACTIVITY_SCHEDULE,
	ACTIVITIES
};

/* A stack with one of these functions has this activity or context. */
struct name_list {
	const char *name;
	const char *symbols; /* separated by spaces */
};

/* An activity is what the innermost functions of a stack do, in any stage. See the appendix. */
static const struct name_list activities[ACTIVITIES];

/* A softirq ran in the nearest of these callers, or in the idle task if that is a caller, too. */
enum {
	CONTEXT_UNKNOWN,
	CONTEXT_IRQ_EXIT,
	CONTEXT_KSOFTIRQD,
	CONTEXT_BH_ENABLE,
	CONTEXT_IDLE,
	CONTEXTS
};

static const struct name_list contexts[CONTEXTS] = {
	[CONTEXT_UNKNOWN] = { "unknown", NULL },
	[CONTEXT_IRQ_EXIT] = { "irq_exit", "irq_exit irq_exit_rcu __irq_exit_rcu" },
	[CONTEXT_KSOFTIRQD] = { "ksoftirqd", "run_ksoftirqd" },
	[CONTEXT_BH_ENABLE] = { "bh_enable", "__local_bh_enable_ip netif_rx_ni" },
	[CONTEXT_IDLE] = { "idle", "cpu_startup_entry do_idle" },
};

/* Code of any stage calls these functions. Without a stage they are no driver's, nor unknown. */
static const char helpers[] =
	"__x86_indirect_* __x86_return_thunk __pi___x86_* srso_* retbleed_* __list_add_valid* "
	"__list_del_entry_valid* __rcu_read_lock __rcu_read_unlock rcu_read_unlock_strict "
	"__local_bh_enable_ip __local_bh_disable_ip _raw_spin_unlock* _raw_read_unlock* "
	"_raw_write_unlock* memcpy* memset* memmove* memcmp* __memcpy* __memset* __memmove* "
	"migrate_enable migrate_disable __napi_schedule __napi_schedule_irqoff "
	"napi_schedule_prep __usecs_to_jiffies kmem_cache_* kfree kmalloc* __kmalloc* "
	"___slab_alloc __slab_* put_cpu_partial sk_free release_sock add_wait_queue "
	"remove_wait_queue call_rcu*";

/* clang-format off */
/*
 * A root is a function that tells the event of a stack. The frames of the stack end there.
 * make_rules() adds the hooked functions. A tail call can replace a root by another function, which
 * is a root, too. Of adjacent roots of one event the outermost counts.
 */
static const struct {
	int event;
	const char *symbols;
} roots[] = {
	{ EV_RX_SOFTIRQ, "net_rx_action" },
	{ EV_TX_SOFTIRQ, "net_tx_action xfrm_dev_backlog" },
	{ EV_SEND, "tcp_sendmsg udp_sendmsg udpv6_sendmsg raw_sendmsg rawv6_sendmsg ping_v4_sendmsg "
	  "ping_v6_sendmsg tcp_sendpage udp_sendpage mptcp_sendmsg sctp_sendmsg dccp_sendmsg "
	  "l2tp_ip_sendmsg l2tp_ip6_sendmsg tls_sw_sendmsg tls_device_sendmsg tls_sw_sendpage "
	  "tls_device_sendpage tcp_bpf_sendmsg tcp_bpf_sendpage espintcp_sendmsg "
	  "inet_splice_eof tcp_splice_eof udp_splice_eof" },
	{ EV_RECV, "tcp_recvmsg udp_recvmsg udpv6_recvmsg raw_recvmsg rawv6_recvmsg ping_recvmsg "
	  "mptcp_recvmsg sctp_recvmsg dccp_recvmsg l2tp_ip_recvmsg l2tp_ip6_recvmsg "
	  "tls_sw_recvmsg tls_sw_splice_read tcp_bpf_recvmsg tcp_bpf_recvmsg_parser "
	  "udp_bpf_recvmsg espintcp_recvmsg tcp_zerocopy_receive" },
	{ EV_CONN, "udp_connect udpv6_connect ip4_datagram_connect ip6_datagram_connect "
	  "inet_bind_sk inet6_bind_sk __inet_bind __inet6_bind mptcp_bind mptcp_listen "
	  "mptcp_stream_accept sctp_inet_listen sctp_inet_connect udp_disconnect "
	  "__udp_disconnect" },
	{ EV_NAPI_THREAD, "napi_threaded_poll_loop napi_threaded_poll cpu_map_kthread_run" },
	{ EV_BUSY_POLL, "busy_poll_stop" },
	{ EV_NET_WORKER, "handle_tx handle_rx mt76_tx_worker" }, /* of vhost-net and of Wi-Fi */
	{ EV_SOFTIRQ, "handle_softirqs __do_softirq __softirqentry_text_start" },
	/* not the network's work, though they call network code */
	{ EV_OTHER, "unix_* netlink_dump netlink_release seq_read seq_read_iter dev_get_stats "
	  "nf_getsockopt" },
	{ EV_IDLE, "cpu_startup_entry do_idle" },
};
/* clang-format on */

/* Adds a rule for each name of a list. `member` is an offset in struct symbol. */
static void add_rules(struct symbols *s, const char *list, bool module, size_t member, int value)
{
	for (const char *name = list, *end; name && *name; name = end + strspn(end, " ")) {
		bool star;

		end = name + strcspn(name, " ");
		star = end[-1] == '*';
		s->rules[s->rule_count++] =
			(struct rule) { name, end - name - star, star, module, member, value };
	}
}

/* Returns true if functions that are hooked in this way are roots, whatever calls them. */
static bool is_root(int how)
{
	return how != HOW_tracepoint && how != HOW_result && how != HOW_read;
}

static void make_rules(struct symbols *s)
{
	for (int i = 0; i < MAX_PROBES; i++) {
		const char *target = (const char *)s->rodata->probes[i].target;
		const char *colon = strchr(target, ':');

		if (is_root(s->rodata->probes[i].how))
			add_rules(s, colon ? colon + 1 : target, false,
				  offsetof(struct symbol, root), s->rodata->probes[i].event);
	}
	for (int i = 0; i < STAGES; i++) {
		add_rules(s, stages[i].symbols, false, offsetof(struct symbol, stage), i);
		add_rules(s, stages[i].modules, true, offsetof(struct symbol, stage), i);
		add_rules(s, stages[i].callers, false, offsetof(struct symbol, calls), i);
	}
	for (int i = 0; i < ACTIVITIES; i++)
		add_rules(s, activities[i].symbols, false, offsetof(struct symbol, activity), i);
	for (int i = 0; i < CONTEXTS; i++)
		add_rules(s, contexts[i].symbols, false, offsetof(struct symbol, context), i);
	for (unsigned i = 0; i < ARRAY_SIZE(roots); i++)
		add_rules(s, roots[i].symbols, false, offsetof(struct symbol, root),
			  roots[i].event);
	add_rules(s, helpers, false, offsetof(struct symbol, helper), true);
}

static void apply_rule(struct symbol *s, const struct rule *r)
{
	((uint8_t *)s)[r->member] = r->value;
}

/* Applies the rules. Of matching modules the longest counts, and likewise of names with a star. */
static void classify(const struct symbols *symbols, struct symbol *s)
{
	const char *name = name_of(symbols, s), *module = symbols->names + s->module;
	const struct rule *by_module = NULL, *by_star = NULL;

	for (const struct rule *r = symbols->rules; r < symbols->rules + symbols->rule_count; r++) {
		const char *text = r->module ? module : name;
		const struct rule **longest = r->module ? &by_module : &by_star;

		if (*text != *r->name || strncmp(text, r->name, r->length) ||
		    (!r->star && text[r->length]))
			continue;
		if (!r->module && !r->star)
			apply_rule(s, r);
		else if (!*longest || r->length > (*longest)->length)
			*longest = r;
	}
	if (by_module && !s->stage)
		apply_rule(s, by_module);
	if (by_star && !s->stage && !s->activity)
		apply_rule(s, by_star);
	s->hash = hash_name(name);
	s->bpf = !strcmp(module, "bpf");
	if (s->bpf && !strncmp(name, "bpf_prog_", 9) && strstr(name, "_netto_")) /* after its tag */
		s->stage = STAGE_tracing;
	/* vhost_net's handle_tx() and handle_rx() are roots, other modules' are not */
	if (!strncmp(name, "handle_", 7) && s->module && strcmp(module, "vhost_net"))
		s->root = EV_NONE;
	if (symbols->has_napi_poll && !strcmp(name, "net_rx_action"))
		s->calls = STAGE_NONE;
}

/*
 * Returns the function that holds the address. If the function has several names, takes the one
 * that the tables know best, or else the first.
 */
static const struct symbol *find_symbol(struct symbols *s, uint64_t address)
{
	unsigned at = (address >> 2 ^ address >> 14) % ARRAY_SIZE(s->cache);
	struct symbol *first, *best;

	if (s->cache[at].symbol && s->cache[at].address == address)
		return s->cache[at].symbol;
	first = best = search_symbol(s, address);
	for (struct symbol *i = first; i < s->list + s->count && i->address == first->address;
	     i++) {
		if (!i->hash)
			classify(s, i);
		if (!best->stage && !best->root &&
		    (i->stage || i->root || (i->activity && !best->activity)))
			best = i;
	}
	s->cache[at].address = address;
	s->cache[at].symbol = best;
	return best;
}

/* Reads kallsyms, if need be again, and makes the rules once. Returns 0 or -errno. */
static int prepare_classifying(struct symbols *s, int kallsyms)
{
	int err = read_symbols(s, kallsyms);

	if (!s->rule_count)
		make_rules(s);
	if (err)
		free_symbols(s);
	else
		classify(s, &s->list[TRACING_SYMBOL]);
	return err;
}

struct classified {
	int event;				/* of its root; EV_NONE: it has no root */
	int stage;				/* the innermost, or STAGE_unknown */
	int activity;				/* of the innermost functions */
	int context;				/* what ran the root */
	int depth;				/* frames up to the root; without a root, all */
	const struct symbol *frames[MAX_DEPTH]; /* innermost first: see resolve_frames() */
	uint8_t path[2 * MAX_DEPTH];		/* the stages passed, outermost first */
	int path_length;
};

/* Returns true if a symbol is code that calls the eBPF programs attached to a function. */
static bool is_trampoline(const struct symbols *symbols, const struct symbol *s)
{
	return s->bpf && !strncmp(name_of(symbols, s), "bpf_trampoline_", 15);
}

/*
 * Looks up the functions of a stack.
 * - netto's programs, the functions that they call, and the tracing code that calls them become one
 *   frame, TRACING_SYMBOL. So does a trampoline if it is the leaf.
 * - Other trampolines are left out. A trampoline calls the function that called it, so the stack
 *   has this function twice: its outer frame is left out, too.
 * - Behind a 0 are words of a stack that the kernel could not unwind: see scan_stack() in
 *   netto.bpf.c. The first of them in a function that is no helper is taken for the caller.
 * - A kprobe's breakpoint raises an exception with interrupts off. Samples that are due meanwhile
 *   are taken after it, at the function's first instruction, and are tracing.
 */
static void resolve_frames(struct symbols *symbols, const uint64_t *addresses, int depth,
			   struct classified *out)
{
	const struct symbol *traced = NULL; /* the function that a trampoline has called */
	const struct symbol *tracing = &symbols->list[TRACING_SYMBOL];
	bool scanned = false; /* this address is behind a 0 */
	bool rooted = false; /* this address is behind a root, which may have interrupted tracing */
	bool exact = true;   /* this address is the leaf or was interrupted: no return address */

	out->depth = 0;
	for (int i = 0; i < depth; i++) {
		/* a return address is behind the call, perhaps in the next function */
		const struct symbol *s = find_symbol(symbols, addresses[i] - !exact);
		bool is_tracing = s->stage == STAGE_tracing ||
				  (!i && symbols->has_kprobes && event_is(s->root, BY_FUNCTIONS) &&
				   addresses[0] - s->address - s->padding <= BREAKPOINT_BYTES);

		exact = s->stage == STAGE_interrupt;
		if (!addresses[i]) {
			scanned = true;
		} else if (scanned) {
			if (s->helper || s == symbols->list)
				continue;
			is_tracing |= is_trampoline(symbols, s) || s->calls == STAGE_tracing;
			out->frames[out->depth++] = is_tracing ? tracing : s;
			return;
		} else if (!rooted && (is_tracing || (is_trampoline(symbols, s) && !out->depth))) {
			out->frames[0] = tracing;
			out->depth = 1;
		} else if (is_trampoline(symbols, s)) {
			traced = out->frames[out->depth - 1];
			continue;
		} else if (s != traced) {
			out->frames[out->depth++] = s;
			rooted |= s->root != EV_NONE;
		}
		traced = NULL;
	}
}

/* Cuts off the frames behind the root: they ran the root, or were interrupted by it. */
static void cut_at_root(struct classified *out)
{
	int root = 0;

	while (root < out->depth && !out->frames[root]->root)
		root++;
	out->event = root < out->depth ? out->frames[root]->root : EV_NONE;
	out->context = CONTEXT_UNKNOWN;
	for (int i = out->event ? root : 0; i < out->depth; i++) {
		int context = out->frames[i]->context;

		if (!out->context || context == CONTEXT_IDLE)
			out->context = context;
	}
	if (!out->event)
		return;
	while (root + 1 < out->depth && out->frames[root + 1]->root == out->event)
		root++;
	out->depth = root + 1;
}

/*
 * Returns the stage of the functions that the caller of frame `i` calls by a pointer, if the stage
 * is of `kind`; else STAGE_NONE. Skips netfilter's functions between a hook and its caller.
 */
static int stage_by_caller(const struct classified *s, int i, unsigned kind)
{
	int caller = i + 1, stage;

	while (caller < s->depth && s->frames[caller]->stage == STAGE_netfilter)
		caller++;
	stage = caller < s->depth ? s->frames[caller]->calls : STAGE_NONE;
	return stages[stage].kind == kind ? stage : STAGE_NONE;
}

/* Returns true if the top half of an interrupt, frame `i`, is over, and preempts the task. */
static bool is_preempted(const struct classified *s, int i)
{
	while (i > 0 && s->frames[i]->stage == STAGE_interrupt)
		i--;
	return s->frames[i]->activity == ACTIVITY_SCHEDULE;
}

/* Returns true if the walk has passed `stage`, and not STAGE_core since then. */
static bool has_passed(const struct classified *s, int stage)
{
	int i = s->path_length - 1;

	while (i >= 0 && s->path[i] != stage && s->path[i] != STAGE_core)
		i--;
	return i >= 0 && s->path[i] == stage;
}

/*
 * Returns the stage of frame `i`, or STAGE_NONE if the frame belongs to its caller's stage, which
 * is `s->stage`.
 */
static int stage_of_frame(const struct classified *s, int i)
{
	const struct symbol *frame = s->frames[i];
	int stage = frame->stage, hook;

	if (frame->bpf &&
	    (s->stage == STAGE_driver || s->stage == STAGE_virtual_poll || s->stage == STAGE_tun))
		return STAGE_xdp;
	if (frame->bpf &&
	    (s->stage == STAGE_driver_tx || stage_by_caller(s, i, POINTER) == STAGE_bpf))
		return STAGE_bpf;
	if (frame->bpf && (s->stage == STAGE_core || s->stage == STAGE_qdisc))
		stage = STAGE_tc; /* a program of tcx, whose own code is inlined in these stages */
	if (stage == STAGE_netfilter) {
		hook = stage_by_caller(s, i, HOOK);
		if (hook == STAGE_nf_prerouting_v4 && has_passed(s, STAGE_ip_rx_v6))
			return STAGE_nf_prerouting_v6; /* VRF's callers run both hooks */
		return hook ? hook : stage;
	}
	if (stage == STAGE_interrupt && is_preempted(s, i))
		return STAGE_NONE;
	if (stage == STAGE_backlog && s->stage == STAGE_core)
		return STAGE_rps;
	/* transmission calls functions of these stages, too */
	if (stage == STAGE_tc && has_passed(s, STAGE_qdisc))
		return STAGE_tc_egress;
	if (stage == STAGE_tunnel_rx && (s->stage == STAGE_tunnel_tx || has_passed(s, STAGE_qdisc)))
		return STAGE_tunnel_tx;
	if (stage == STAGE_xdp && s->stage == STAGE_xdp_generic)
		return STAGE_xdp_generic;
	if (!stage && !frame->bpf && !frame->activity && !frame->helper)
		return stage_by_caller(s, i, POINTER);
	return stage;
}

static void enter_stage(struct classified *s, int stage)
{
	if (stage != s->stage)
		s->path[s->path_length++] = stage;
	s->stage = stage;
}

/* Returns true if an IP output forwards a packet. Some stages call it only to fragment packets. */
static bool is_forwarding(const struct classified *s)
{
	int i = s->path_length - 1;

	while (i >= 0 && s->path[i] != STAGE_core && stages[s->path[i]].kind != NO_FORWARD)
		i--;
	return i >= 0 && s->path[i] == STAGE_core && s->stage != STAGE_ovs &&
	       s->stage != STAGE_tc && s->stage != STAGE_bridge_nf;
}

/*
 * Walks from the root to the leaf and notes the stages. Tail calls delete frames, even that of
 * ip_forward(). So a packet is forwarded if it is received and sent in the same stack, and was not
 * delivered to this host in between.
 */
static void walk_stages(struct classified *s)
{
	int known = s->depth; /* the innermost frame with a stage */
	bool unknown = false; /* that frame calls a function that is no helper */

	s->stage = STAGE_NONE;
	s->activity = ACTIVITY_NONE;
	s->path_length = 0;
	for (int i = s->depth - 1; i >= 0; i--) {
		int stage = stage_of_frame(s, i);

		if (!stage)
			continue;
		if (stage == STAGE_output_v4 && is_forwarding(s))
			enter_stage(s, STAGE_forward_v4);
		if (stage == STAGE_output_v6 && is_forwarding(s))
			enter_stage(s, STAGE_forward_v6);
		enter_stage(s, stage);
		known = i;
	}
	for (int i = 0; i < known; i++) {
		if (!s->activity)
			s->activity = s->frames[i]->activity;
		unknown |= !s->frames[i]->helper;
	}
	if (!s->stage || (stages[s->stage].kind == GENERIC && unknown && !s->activity))
		enter_stage(s, STAGE_unknown);
}

/* Classifies a stack of `depth` addresses, leaf first. */
static void classify_stack(struct symbols *symbols, const uint64_t *addresses, int depth,
			   struct classified *out)
{
	resolve_frames(symbols, addresses, depth, out);
	cut_at_root(out);
	walk_stages(out);
}

/*
 * Of a sample in a top half, cuts off the frames that the top half interrupted. (Such samples come
 * from NMIs: the interrupt of the sampling timer cannot interrupt a top half.)
 */
static void cut_at_interrupt(struct classified *s)
{
	int end = 0;

	while (end < s->depth && s->frames[end]->stage != STAGE_interrupt)
		end++;
	while (end < s->depth && s->frames[end]->stage == STAGE_interrupt)
		end++;
	s->depth = end;
	walk_stages(s);
}

/* Returns the outermost stage that is not shared, or STAGE_NONE. */
static int network_stage(const struct classified *s)
{
	for (int i = 0; i < s->path_length; i++)
		if (!stages[s->path[i]].shared)
			return s->path[i];
	return STAGE_NONE;
}

/* Returns true if a stack without an event of its own is of network code, and so net_other. */
static bool is_network(const struct classified *s)
{
	return network_stage(s) != STAGE_NONE && s->event != EV_OTHER &&
	       s->stage != STAGE_tracing; /* of a hook that had not yet set its event */
}

/* Returns true if a stack receives packets, though its event may not be one of RECEIVES. */
static bool is_receiving(const struct classified *s)
{
	return stages[network_stage(s)].receives || memchr(s->path, STAGE_core, s->path_length);
}

/* ==== 6. Capabilities ==== */

static uint64_t permitted_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	syscall(SYS_capget, &header, data);
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

/*
 * Drops all capabilities but, with eBPF, one: kernels before 6.0 require CAP_BPF (CAP_SYS_ADMIN
 * before 5.8) even to mark a CPU.
 */
static int drop_capabilities(bool bpf)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};
	int keep = permitted_capabilities() >> CAP_BPF & 1 ? CAP_BPF : CAP_SYS_ADMIN;

	if (bpf)
		data[keep / 32].permitted = data[keep / 32].effective = 1u << keep % 32;
	if (syscall(SYS_capset, &header, data)) {
		message("cannot drop capabilities: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

/* ==== 7. Energy ==== */

/*
 * RAPL counts the energy that the CPU packages use (Documentation/power/powercap). Its counters are
 * opened before the capabilities are dropped, and read more often than they wrap.
 */
struct energy {
	unsigned packages; /* 0: the energy is not known */
	struct {
		int fd;
		uint64_t last_uj, range_uj; /* the counter's last value, and where it wraps */
	} package[32];
	double used_uj; /* since the start */
};

/* Reads the counter of a package. Returns false if that fails. */
static bool read_package(int fd, uint64_t *uj)
{
	char text[32] = "", *end;

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return false;
	*uj = strtoull(text, &end, 10);
	return end != text;
}

/* Adds the energy that was used since the last call. */
static void read_energy(struct energy *e)
{
	for (unsigned i = 0; i < e->packages; i++) {
		uint64_t now_uj, last_uj = e->package[i].last_uj;

		if (!read_package(e->package[i].fd, &now_uj))
			continue;
		if (now_uj < last_uj && last_uj > e->package[i].range_uj)
			last_uj = now_uj; /* the counter was reset, and did not wrap */
		e->used_uj += now_uj - last_uj + (now_uj < last_uj ? e->package[i].range_uj : 0);
		e->package[i].last_uj = now_uj;
	}
}

/* Opens the counters of packages, but not of their parts (intel-rapl:0:1) or the machine (psys). */
static void open_energy(struct energy *e)
{
	char path[64], text[32];

	for (int zone = 0; e->packages < ARRAY_SIZE(e->package); zone++) {
		typeof(e->package[0]) *p = &e->package[e->packages];

		FORMAT(path, "/sys/class/powercap/intel-rapl:%d/name", zone);
		read_small_file(path, text, sizeof(text));
		if (!text[0])
			return;
		if (strncmp(text, "package", 7))
			continue;
		p->range_uj =
			read_number("/sys/class/powercap/intel-rapl:%d/max_energy_range_uj", zone);
		FORMAT(path, "/sys/class/powercap/intel-rapl:%d/energy_uj", zone);
		p->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (p->fd < 0 || !read_package(p->fd, &p->last_uj)) {
			if (opt.verbose)
				message("energy: not known: cannot read %s", path);
			e->packages = 0; /* the energy of some packages would be too low */
			return;
		}
		e->packages++;
	}
}

/* ==== 8. Probes: choosing them ==== */

enum { NO_HOOK, TP_BTF, RAW_TP, FENTRY, MULTI, KPROBE, KINDS };

static const char *const hook_names[KINDS] = {
	[NO_HOOK] = "from samples", [TP_BTF] = "tp_btf",      [RAW_TP] = "raw_tp",
	[FENTRY] = "fentry",	    [MULTI] = "kprobe.multi", [KPROBE] = "kprobe",
};

/*
 * The kinds of hooks that a probe can have, the best one first. A call costs the least with fentry.
 * But each trampoline of fentry takes a tenth of a second to attach, and as much to detach (two
 * grace periods of RCU-tasks). kprobe.multi takes this time once for all functions. Until 6.13 it
 * can follow 2 * functions * CPUs calls to their returns, all functions together. Hundreds of tasks
 * that sleep in one function exceed this number, so `waiting` functions prefer fentry there.
 */
static const int ladders[][KINDS] = {
	[HOW_tracepoint] = { TP_BTF, RAW_TP },	     [HOW_result] = { FENTRY, MULTI, KPROBE },
	[HOW_hot] = { FENTRY, MULTI, KPROBE },	     [HOW_waiting] = { FENTRY, MULTI, KPROBE },
	[HOW_operation] = { MULTI, FENTRY, KPROBE }, [HOW_read] = { MULTI, FENTRY, KPROBE },
	[HOW_poll] = { MULTI, FENTRY, KPROBE },	     [HOW_thread] = { MULTI, FENTRY, KPROBE },
};

struct probe {
	char target[64];  /* kernel function, by its name in kallsyms; or tracepoint */
	char module[16];  /* the function is in this module or built in; empty: built in */
	uint64_t address; /* of the function; 0: not known */
	int event, how;	  /* as in netto.bpf.c */
	bool only_if_previous_absent; /* as in netto.bpf.c */
	bool function;		      /* a function may be missing; a tracepoint must exist */
	bool exists;		      /* kallsyms has the function */
	bool absent;		    /* the kernel does not have the function, so nobody calls it */
	const char *refused[KINDS]; /* why a hook of this kind was refused; or NULL */
	const char *why_not[KINDS]; /* why its kind is not this better one; or NULL */
	int kind;		    /* the best kind that this host allows */
	struct bpf_program *entry, *exit; /* programs of this kind; NULL: none to be loaded */
};

struct sampler {
	unsigned hz;	      /* 0: no samples */
	const char *clock;    /* name of the perf event */
	char why_not[128];    /* why there are no samples */
	bool scan;	      /* search the stack where unwinding fails; lockdown forbids this */
	int max_depth;	      /* frames that the kernel stores, from the leaf on */
	unsigned most_stacks; /* limit for a buffer when memory is short; 0: none */
	unsigned nr_bufs, hash_slots, stack_words; /* as in netto.bpf.c */
	int cpus;				   /* CPUs with a table have ids below this */
	size_t buf_size;			   /* bytes */
	char *tables;				   /* mapped: the buffers of CPU 0, of CPU 1, ... */
	/* perf events; 0: the CPU was offline at the start; -1: the CPU was plugged in or
	   unplugged later, and its samples are no longer complete */
	int events[MAX_CPUS];
	/* rings of these perf events, only without eBPF: then this process fills the tables */
	struct perf_event_mmap_page *rings[MAX_CPUS];
	uint64_t period_ns;  /* the rings must be read this often; 0: there are no rings */
	uint64_t started_ns; /* start of the first interval: older samples are ignored */
	int64_t offset_ns;   /* see clock_offset() */
	int kallsyms;	     /* file descriptor, opened before capabilities are dropped */
	struct own_code own;
};

/* What /proc counts on each CPU: runs of two softirqs, then packets (from PROCESSED on). */
enum { RX_SOFTIRQS, TX_SOFTIRQS, PROCESSED, DROPPED, SQUEEZED, RPS, COUNTS };
enum { PACKETS = COUNTS - PROCESSED };

/* The packets that /proc/net/softnet_stat counts, in 32 bits that wrap around. */
struct softnet {
	bool known;			  /* the file was read at least once */
	bool seen[MAX_CPUS];		  /* the file had a line for this CPU */
	uint32_t last[MAX_CPUS][PACKETS]; /* as last read */
	uint64_t sums[MAX_CPUS][PACKETS]; /* since the CPU was first seen */
};

struct session {
	struct netto *skel;
	struct probe probes[MAX_PROBES];
	const char *lacks[KINDS]; /* why this host has no hook of a kind; NULL: it may have some */
	bool has_ends;		  /* netto_sent and netto_received end operations at tracepoints */
	bool sees_all_returns;	  /* kprobe.multi does, however many tasks sleep: from 6.14 on */
	struct bpf_link *links[2 * MAX_PROBES + 4]; /* all but the two of kprobe.multi */
	int nr_links;
	int empty_btf;		    /* descriptor: see make_empty_btf() */
	bool rt;		    /* PREEMPT_RT */
	bool storage;		    /* task storage is used for tasks off the CPU */
	bool is_32_bit;		    /* the kernel is */
	char no_bpf[256];	    /* why there is no eBPF; empty: there is */
	bool accounted;		    /* neither hooks nor samples: all times are from /proc */
	int cpus;		    /* ids of CPUs are below this */
	int64_t residual[MAX_CPUS]; /* ns, at the last mark: a mark with another one is repeated */
	struct {
		uint64_t since_ns; /* time of the last mark; 0: the CPU was offline then */
		uint64_t wall_ns;  /* sum of the intervals with the CPU online at both ends */
	} clocks[MAX_CPUS];	   /* only without hooks: see read_clock() */
	struct sampler sampler;
	struct {
		const char *refused;	/* why devices cannot be traced; or NULL */
		const polled_t *polled; /* mapped netto_polled: by CPU */
	} devices;
	struct energy energy;
	struct softnet softnet;
};

static bool has_btf(void)
{
	return !pretends_missing("btf") && !access("/sys/kernel/btf/vmlinux", R_OK);
}

/*
 * Loads a program that does nothing, to see whether this host permits programs of this type. The
 * kernel checks the permission before the code. Returns a descriptor or -errno.
 */
static int try_program(enum bpf_prog_type type, enum bpf_attach_type attach)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);

	if (type == BPF_PROG_TYPE_TRACING)
		opts.attach_btf_id = 1; /* no function: -EINVAL, where fentry is permitted */
	return bpf_prog_load(type, "netto_try", "GPL", code, ARRAY_SIZE(code), &opts);
}

/* A kernel with kprobe.multi tries to read the array of addresses, and fails with -EFAULT. */
static const char *why_no_multi(void)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .kprobe_multi.cnt = 1,
		    .kprobe_multi.addrs = (unsigned long *)1);
	int fd = try_program(BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI), err;

	if (fd < 0)
		return error_text(fd);
	err = bpf_link_create(fd, 0, BPF_TRACE_KPROBE_MULTI, &opts);
	close(fd);
	return err == -EFAULT ? NULL : "this kernel has none: it needs 5.18 and CONFIG_FPROBE";
}

static bool has_bpf_events(void)
{
	return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_RAW_TRACEPOINT, NULL) != 0;
}

/* Returns why this host has no hook of a kind; NULL: it may have some. */
static const char *why_host_lacks(int kind, bool bpf_events)
{
	if (pretends_missing(hook_names[kind]) ||
	    (kind == MULTI && pretends_missing(hook_names[KPROBE])))
		return "left out by NETTO_WITHOUT";
	if (opt.mode == SAMPLE)
		return "not wanted in sample mode";
	if (!bpf_events)
		return "this kernel has no eBPF for tracing";
	if ((kind == TP_BTF || kind == FENTRY) && !has_btf())
		return "this kernel gives no BTF: it needs CONFIG_DEBUG_INFO_BTF";
	/* some hosts forbid fentry, but permit tp_btf, whose programs have the same type */
	if (kind == FENTRY && try_program(BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY) == -EPERM)
		return error_text(-EPERM);
	if (kind == MULTI)
		return why_no_multi();
#ifdef __mips__
	/* seen with 6.1, also by tracefs alone: "Break instruction in kernel code" after a step */
	if (kind == KPROBE)
		return "on MIPS a kprobe can kill the process that runs it";
#endif
	if (kind == KPROBE && access("/sys/bus/event_source/devices/kprobe/type", R_OK))
		return "this kernel has none: it needs CONFIG_KPROBE_EVENTS";
	return NULL;
}

/* The kind of the last probe, sched_switch, on which all others depend; or NO_HOOK. */
static int base_kind(const struct session *s)
{
	return s->probes[MAX_PROBES - 1].kind;
}

/* Returns why a probe cannot have a hook of a kind, or NULL if it can. */
static const char *why_probe_lacks(const struct session *s, const struct probe *p, int kind)
{
	const struct probe *base = &s->probes[MAX_PROBES - 1];
	bool threads = event_is(p->event, OF_THREADS);
	/* each event needs sched_switch; an event of threads needs the names that tp_btf reads */
	bool follows = p == base || (threads ? base->kind == TP_BTF : base->kind != NO_HOOK);

	return p->refused[kind]			       ? p->refused[kind]
	       : s->lacks[kind]			       ? s->lacks[kind]
	       : pretends_missing(p->target)	       ? "left out by NETTO_WITHOUT"
	       : kind == RAW_TP && threads	       ? "it reads no field of a task"
	       : kind == KPROBE && threads	       ? "a thread's function does not return"
	       : kind == MULTI && p->how == HOW_result ? "it tells not what a function returns"
	       : kind == MULTI && !p->address	       ? "its address is not known"
	       : !follows			       ? "sched_switch cannot be traced"
						       : NULL;
}

/* Gives a probe the best kind that it can have, and notes why it has no better one. */
static void choose_kind(const struct session *s, struct probe *p)
{
	const int *rung =
		ladders[p->how == HOW_waiting && s->sees_all_returns ? HOW_operation : p->how];

	memset(p->why_not, 0, sizeof(p->why_not));
	if (p->absent) { /* the one reason for all kinds is given for the best one */
		p->why_not[*rung] = p->module[0] ? "not in this kernel, or its module is not loaded"
						 : "not in this kernel";
		p->kind = NO_HOOK;
		return;
	}
	while (*rung && (p->why_not[*rung] = why_probe_lacks(s, p, *rung)))
		rung++;
	p->kind = *rung;
}

/* Gives each probe its kind, and no programs yet. sched_switch comes first: see base_kind(). */
static void choose_kinds(struct session *s)
{
	for (struct probe *p = s->probes + MAX_PROBES; p-- > s->probes;) {
		choose_kind(s, p);
		p->entry = p->exit = NULL;
	}
}

/*
 * Makes an empty BTF, in a file in memory, for kernels that give none: libbpf wants one, even if no
 * loaded program needs it. Returns its descriptor; after an error (-1) loading will fail.
 */
static int make_empty_btf(void)
{
	static const struct btf_header empty[2] = { { .magic = BTF_MAGIC,
						      .version = BTF_VERSION,
						      .hdr_len = sizeof(*empty),
						      .str_len = 1 } }; /* "" in empty[1] */
	int fd = memfd_create("btf", MFD_CLOEXEC);

	write(fd, empty, sizeof(empty));
	return fd;
}

/* Opens the object, with all programs and maps off. Without `btf` it uses the empty BTF. */
static struct netto *open_object(const struct session *s, bool btf)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	struct bpf_program *program;
	struct netto *skel;
	struct bpf_map *map;
	char path[32];

	FORMAT(path, "/proc/self/fd/%d", s->empty_btf);
	if (!btf)
		opts.btf_custom_path = path;
	skel = netto__open_opts(&opts);
	if (!skel)
		return NULL;
	bpf_object__for_each_program(program, skel->obj) bpf_program__set_autoload(program, false);
	bpf_object__for_each_map(map, skel->obj)
		bpf_map__set_autocreate(map, bpf_map__is_internal(map));
	return skel;
}

static struct bpf_program *find_program(struct netto *skel, const char *name, const char *suffix)
{
	char full[32];

	FORMAT(full, "%s%s", name, suffix);
	return bpf_object__find_program_by_name(skel->obj, full);
}

/* Whether a line of kallsyms has a function, or a copy that a compiler made and renamed. */
static bool is_variant(const struct line *l, const char *function, size_t length)
{
	const char *more = l->name + length;

	return l->length >= length && !memcmp(l->name, function, length) &&
	       (l->length == length || !strncmp(more, ".llvm.", 6) || !strncmp(more, ".isra.", 6) ||
		!strncmp(more, ".constprop.", 11));
}

/*
 * Notes the functions to be hooked that a line of kallsyms has. Most lines are skipped for their
 * first letters. A function is preferred to its renamed copies.
 */
static int note_function(void *session, const char *start, const char *end)
{
	enum { LETTERS = 4 }; /* no function has fewer */
	struct session *s = session;
	struct line l;

	if (!parse_line(start, end, &l) || l.length < LETTERS)
		return 0;
	for (struct probe *p = s->probes; p < s->probes + MAX_PROBES; p++) {
		size_t length;

		if (memcmp(l.name, p->target, LETTERS) || !p->function)
			continue;
		length = strcspn(p->target, ".");
		if (!is_variant(&l, p->target, length) || l.length >= sizeof(p->target) ||
		    (p->exists && l.length > length))
			continue;
		if (l.module_length && (l.module_length != strlen(p->module) ||
					memcmp(l.module, p->module, l.module_length)))
			continue;
		FORMAT(p->target, "%.*s", (int)l.length, l.name);
		p->address = l.address;
		p->exists = true;
	}
	return 0;
}

/* The spare of a probe, which stands behind it, or the probe that a spare replaces; or NULL. */
static const struct probe *spare_of(const struct probe *p)
{
	return p->only_if_previous_absent ? p - 1 : p[1].only_if_previous_absent ? p + 1 : NULL;
}

/* Returns false if netto_lookup failed. `address` is 0 if the kernel has no such function. */
static bool look_up(struct netto *skel, const char *function, uint64_t *address)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int fd = bpf_program__fd(skel->progs.netto_lookup);

	strcpy(skel->bss->lookup.name, function);
	if (bpf_prog_test_run_opts(fd, &run) || (run.retval && run.retval != (uint32_t)-ENOENT))
		return false;
	*address = skel->bss->lookup.address;
	return true;
}

/*
 * Looks up the functions by netto_lookup, which is faster than reading all of /proc/kallsyms.
 * Returns false if the file must be read for functions that a compiler may have renamed.
 */
static bool look_up_functions(struct session *s, struct netto *skel)
{
	uint64_t address;
	bool all = true;

	bpf_program__set_autoload(skel->progs.netto_lookup, true);
	if (pretends_missing("lookup") || netto__load(skel))
		return false;
	/* kprobe.multi uses this function for returns from 6.14 on, where fprobe uses fgraph */
	s->sees_all_returns = look_up(skel, "fprobe_return", &address) && address;
	for (int i = 0; i < MAX_PROBES; i++) {
		struct probe *p = &s->probes[i];
		const char *full = (const char *)skel->rodata->probes[i].target;

		/* first MODULE:FUNCTION, then FUNCTION, since a module may be built in */
		if (p->function && !(look_up(skel, full, &p->address) &&
				     (p->address || look_up(skel, p->target, &p->address))))
			return false;
		p->exists = p->address;
	}
	for (const struct probe *p = s->probes; p < s->probes + MAX_PROBES; p++) {
		char path[40];

		FORMAT(path, "/sys/module/%s", p->module);
		/* the functions inet_... are not static: no compiler renames them */
		all &= !p->function || p->exists || (spare_of(p) && spare_of(p)->exists) ||
		       (p->module[0] && access(path, F_OK)) || !strncmp(p->target, "inet_", 5);
	}
	return all;
}

/*
 * Selects the programs of a probe's kind for loading. All functions by kprobe.multi share one pair
 * of programs. By kprobe the functions of an event share one, unless a function has its own.
 */
static void take_programs(struct session *s, struct probe *p, const char *name)
{
	struct netto *skel = s->skel;
	char own[32], common[32], word[80];

	if (p->only_if_previous_absent && p[-1].kind)
		return;
	FORMAT(word, "%s@btf", p->target);
	if (p->kind == FENTRY &&
	    (pretends_missing(word) ||
	     bpf_program__set_attach_target(find_program(skel, name, ""), 0, p->target))) {
		p->refused[FENTRY] = "not in BTF";
		choose_kind(s, p);
	}
	if (!p->kind)
		return;
	if (p->kind == MULTI) {
		name = "netto_multi";
	} else if (p->kind == KPROBE) {
		FORMAT(own, "netto_k_%s", name + strlen("netto_"));
		FORMAT(common, "netto_k_%s", (const char *)skel->rodata->events[p->event].name);
		name = find_program(skel, own, "") ? own : common;
	}
	p->entry = find_program(skel, name, p->kind == RAW_TP ? "_r" : "");
	bpf_program__set_autoload(p->entry, true);
	if (p->how == HOW_thread || (p->how == HOW_hot && s->has_ends))
		return; /* an exit program is not needed */
	p->exit = find_program(skel, name, p->kind == RAW_TP ? "_x_r" : "_x");
	if (!p->exit)
		return;
	bpf_program__set_autoload(p->exit, true);
	if (p->kind == FENTRY)
		bpf_program__set_attach_target(p->exit, 0, p->target);
}

/*
 * Opens the object (anew, if it is open), and selects programs of the best kind of each probe.
 * `only`: leaves out functions of other kinds than this one; KINDS: leaves out none. Returns how
 * many functions have programs, or -errno.
 */
static int open_probes(struct session *s, int only)
{
	struct netto *skel;
	int functions = 0;

	netto__destroy(s->skel);
	skel = s->skel = open_object(s, has_btf());
	if (!skel)
		return -errno;
	choose_kinds(s);
	s->has_ends =
		base_kind(s) == TP_BTF && !pretends_missing("ends") &&
		!bpf_program__set_attach_target(skel->progs.netto_sent, 0, "sock_send_length") &&
		!bpf_program__set_attach_target(skel->progs.netto_received, 0, "sock_recv_length");
	for (int i = 0; i < MAX_PROBES; i++) {
		struct probe *p = &s->probes[i];

		if (!p->function || only == KINDS || p->kind == only)
			take_programs(s, p, (const char *)skel->rodata->probes[i].program);
		functions += p->function && p->entry;
	}
	bpf_program__set_autoload(skel->progs.netto_mark, true);
	bpf_program__set_autoload(skel->progs.netto_sent, s->has_ends && functions);
	bpf_program__set_autoload(skel->progs.netto_received, s->has_ends && functions);
	return functions;
}

static void read_probe_table(struct session *s, const struct netto *skel)
{
	for (int i = 0; i < MAX_PROBES; i++) {
		struct probe *p = &s->probes[i];
		const typeof(skel->rodata->probes[i]) *row = &skel->rodata->probes[i];
		const char *target = (const char *)row->target, *colon = strchr(target, ':');

		p->event = row->event;
		p->only_if_previous_absent = row->only_if_previous_absent;
		p->how = row->how;
		p->function = p->how != HOW_tracepoint;
		if (colon)
			FORMAT(p->module, "%.*s", (int)(colon - target), target);
		FORMAT(p->target, "%s", colon ? colon + 1 : target);
	}
}

/*
 * Reads the table of probes, and finds out which kinds of hooks and which functions this host has.
 * It asks kallsyms for functions, since BTF lacks some: pahole leaves some out, and compilers
 * rename some. The BTF of modules exists from 5.11 on, and only CAP_SYS_ADMIN may read it.
 */
static int init_probes(struct session *s)
{
	struct netto *skel;
	bool bpf_events = has_bpf_events(), wanted, known;

	s->empty_btf = make_empty_btf();
	skel = open_object(s, false);
	if (!skel)
		return -errno;
	read_probe_table(s, skel);
	for (int kind = NO_HOOK + 1; kind < KINDS; kind++)
		s->lacks[kind] = why_host_lacks(kind, bpf_events);
	wanted = !s->lacks[FENTRY] || !s->lacks[MULTI] || !s->lacks[KPROBE];
	known = wanted && look_up_functions(s, skel);
	if (wanted && !known) {
		int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);

		known = !read_kallsyms(fd, note_function, s);
		close(fd);
	}
	for (struct probe *p = s->probes; p < s->probes + MAX_PROBES; p++)
		p->absent = known && p->function && !p->exists;
	netto__destroy(skel);
	return 0;
}

/* ==== 9. Sampling: the table, kallsyms, the perf events ==== */

/* Gives samples up, and notes why. */
static __attribute__((format(printf, 2, 3))) void refuse_samples(struct sampler *s,
								 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->why_not, sizeof(s->why_not), format, args);
	va_end(args);
	s->hz = 0;
}

enum { FRAMES = 32 }; /* the table has room for stacks of this mean depth */

/*
 * Gives the table room for as many different stacks as an interval has samples. On each CPU it
 * takes at most 1 MB up to 1,000 Hz, and at most 4 MB at higher frequencies. All CPUs together take
 * at most a sixteenth of the machine's memory.
 */
static void size_table(struct sampler *s, double seconds)
{
	enum { STACK_BYTES = 2 * sizeof(((stack_buf_t *)0)->slots[0]) + 8 * FRAMES };
	double memory = (double)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 16 / s->cpus;
	double bytes =
		fmin((1 << 20) / 1000.0 * fmin(fmax(s->hz, 1000), 3900), memory) / s->nr_bufs;
	double stacks = fmin(s->hz * seconds + 2, bytes / STACK_BYTES);

	if (s->most_stacks)
		stacks = fmin(stacks, s->most_stacks);
	if (pretends_missing("room"))
		stacks = 4;
	s->hash_slots = 16;
	while (s->hash_slots < stacks)
		s->hash_slots *= 2;
	s->stack_words = fmax(stacks * FRAMES, 2 * (1 + MAX_DEPTH));
	s->buf_size = sizeof(stack_buf_t) + s->hash_slots * sizeof(((stack_buf_t *)0)->slots[0]) +
		      (s->stack_words + 1 + MAX_DEPTH) * sizeof(__u64);
}

/* Halves the table, for want of memory, or gives samples up. False if there are none. */
static bool shrink_table(struct sampler *s)
{
	if (!s->hz)
		return false;
	s->most_stacks = s->stack_words / FRAMES / 2;
	if (s->most_stacks < 16)
		refuse_samples(s, "no memory for the table of stacks");
	else
		size_table(s, opt.seconds);
	message("there is no memory for the table of stacks: now for %u stacks of %d frames a CPU",
		s->hz ? s->most_stacks : 0, FRAMES);
	return true;
}

/* A sample in a ring: attr.sample_type in sample_all() asks for these fields. */
struct record {
	struct perf_event_header header;
	uint64_t time_ns;
	uint64_t count;
	uint64_t words[MAX_DEPTH + 3]; /* addresses; PERF_CONTEXT_KERNEL before the kernel's */
};

/* Opens kallsyms. Gives samples up if it hides addresses: no stack can be classified then. */
static void open_kallsyms(struct sampler *s)
{
	char start[4096];
	int err = read_small_file("/proc/kallsyms", start, sizeof(start));
	uint64_t seen = 0;

	s->kallsyms = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	for (const char *line = start; line && *line; line = strchr(line + 1, '\n'))
		seen |= strtoull(line, NULL, 16);
	if (!start[0])
		refuse_samples(s, "cannot read /proc/kallsyms: %s%s",
			       err ? strerror(-err) : "it is empty",
			       access("/proc/self", F_OK) ? ": mount proc on /proc"
			       : err == -ENOENT		  ? ": CONFIG_KALLSYMS makes it"
							  : "");
	else if (!seen)
		refuse_samples(
			s,
			"/proc/kallsyms hides its addresses: run `sysctl -w kernel.kptr_restrict=1`, and have CAP_SYSLOG");
}

/* Prepares samples, or gives them up, as far as this can be done before the object is loaded. */
static void plan_samples(struct sampler *s)
{
	s->hz = opt.freq;
	s->nr_bufs = opt.count == 1 ? 1 : 2;
	s->scan = !pretends_missing("scan");
	s->kallsyms = -1;
	if (!s->hz) {
		refuse_samples(s, "not wanted");
		return;
	}
	s->cpus = read_cpus("online", NULL) + 1;
	if (!s->cpus || s->cpus > MAX_CPUS) {
		refuse_samples(s, "the CPUs are not known");
		return;
	}
	open_kallsyms(s);
	size_table(s, opt.seconds);
	s->max_depth =
		fmin(read_number("/proc/sys/kernel/perf_event_max_stack") ?: MAX_DEPTH, MAX_DEPTH);
}

/* Sets the sizes of the table in the object. Without samples, table and program are left out. */
static void configure_samples(const struct sampler *s, struct netto *skel)
{
	bpf_program__set_autoload(skel->progs.netto_sample, s->hz);
	bpf_map__set_autocreate(skel->maps.netto_stacks, s->hz);
	if (!s->hz)
		return;
	skel->rodata->scan = s->scan;
	if (pretends_missing("limit"))
		skel->rodata->sample_part = 0;
	skel->rodata->nr_bufs = s->nr_bufs;
	skel->rodata->hash_slots = s->hash_slots;
	skel->rodata->stack_words = s->stack_words;
	bpf_map__set_value_size(skel->maps.netto_stacks, s->buf_size);
	bpf_map__set_max_entries(skel->maps.netto_stacks, s->cpus * s->nr_bufs);
}

/* The attributes of a perf event that counts cycles, or the nanoseconds of the timer. */
static struct perf_event_attr event_attr(bool of_cycles)
{
	return (struct perf_event_attr) {
		.type = of_cycles ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE,
		.size = sizeof(struct perf_event_attr),
		.config = of_cycles ? PERF_COUNT_HW_CPU_CYCLES : PERF_COUNT_SW_CPU_CLOCK,
	};
}

/* Opens a perf event on a CPU; `cpu` -1: for this process. Returns its descriptor or -errno. */
static int open_event(struct perf_event_attr *attr, int cpu)
{
	int fd;

	if (pretends_missing("perf"))
		return -ENOSYS;
	fd = syscall(SYS_perf_event_open, attr, cpu < 0 ? 0 : -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Starts the samples of a CPU. The program takes them, or a ring if there is no program. Returns 0
 * or -errno; -ENOBUFS: the ring would lock too much memory.
 */
static int sample_cpu(struct sampler *s, const struct bpf_program *program,
		      struct perf_event_attr *attr, int cpu)
{
	int event = open_event(attr, cpu);
	void *ring;

	if (event < 0)
		return event;
	s->events[cpu] = event;
	if (program)
		return ioctl(event, PERF_EVENT_IOC_SET_BPF, bpf_program__fd(program)) ? -errno : 0;
	ring = mmap(NULL, sysconf(_SC_PAGESIZE) + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		    event, 0);
	if (ring == MAP_FAILED)
		return errno == EPERM ? -ENOBUFS : -errno;
	s->rings[cpu] = ring;
	return 0;
}

static void stop_samples(struct sampler *s)
{
	for (int cpu = 0; cpu < s->cpus; cpu++) {
		if (s->rings[cpu])
			munmap(s->rings[cpu], sysconf(_SC_PAGESIZE) + RING_BYTES);
		if (s->events[cpu] > 0)
			close(s->events[cpu]);
		s->rings[cpu] = NULL;
		s->events[cpu] = 0;
	}
}

/* Measures the cycles per second of this CPU, which is kept busy; 0: cycles are not counted. */
static uint64_t cycles_per_second(void)
{
	struct perf_event_attr attr = event_attr(true);
	int fd = pretends_missing("cycles") ? -ENOENT : open_event(&attr, -1);
	uint64_t began_ns = now_ns(CLOCK_MONOTONIC), passed_ns = 0, count = 0;

	if (fd < 0)
		return 0;
	while (passed_ns < CALIBRATION_NS)
		passed_ns = now_ns(CLOCK_MONOTONIC) - began_ns;
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		count = 0;
	close(fd);
	count = (double)count * NSEC_PER_SEC / passed_ns;
	return count < MAX_HZ ? 0 : count;
}

/*
 * The period of a CPU's samples. CPU 0 has `period`; the others have up to 1 % more, spread by the
 * golden ratio, so that CPUs are not sampled in step. At 1 kHz the samples of neighbours drift past
 * each other in a quarter of a second, and those of CPUs that are 8 apart in two seconds. In step,
 * a sample delays the work of one CPU while another CPU, which waits for this work, is sampled too.
 * A NAPI thread that took 75 % of a CPU then seemed to take 4 to 42 % (Linux 6.18).
 */
static uint64_t sample_period(uint64_t period, int cpu)
{
	return period + (period / 100 * (cpu * UINT32_C(2654435769)) >> 32);
}

/*
 * Starts the samples on all CPUs that are online. `cycles`: per second; 0: samples by the timer.
 * The period is fixed, so that each sample stands for the same time: at a fixed frequency the
 * kernel would shorten the period on a CPU that is less busy. Returns 0 or -errno.
 */
static int sample_all(struct sampler *s, const struct bpf_program *program, uint64_t cycles)
{
	struct perf_event_attr attr = event_attr(cycles);

	s->clock = cycles ? "cycles" : "cpu-clock";
	if (!program) {
		attr.sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN;
		attr.exclude_callchain_user = 1;
		attr.sample_max_stack = s->max_depth;
		attr.use_clockid = 1;
		attr.clockid = CLOCK_MONOTONIC;
		attr.watermark = 1;
		attr.wakeup_watermark = RING_BYTES; /* wakes up seldom: nobody waits */
	}
	for (int cpu = 0; cpu < s->cpus; cpu++) {
		int err;

		attr.sample_period = sample_period((cycles ? cycles : NSEC_PER_SEC) / s->hz, cpu);
		err = sample_cpu(s, program, &attr, cpu);
		if (err && err != -ENODEV) { /* -ENODEV: the CPU is offline */
			stop_samples(s);
			return err;
		}
	}
	return 0;
}

/*
 * Gives samples up, since perf events cannot be opened; says why, and what would help. Debian and
 * Ubuntu have paranoid levels above 2, at which CAP_PERFMON is not enough.
 */
static void explain_no_events(struct sampler *s, int err)
{
	if (err == -ENOSYS)
		refuse_samples(s, "this kernel has no perf events: it needs CONFIG_PERF_EVENTS");
	else if (err == -EACCES || err == -EPERM)
		refuse_samples(
			s,
			"perf events are refused, and kernel.perf_event_paranoid is %d: set it to 2 and have CAP_PERFMON, or be root",
			(int)read_number("/proc/sys/kernel/perf_event_paranoid"));
	else if (err == -ENOBUFS)
		refuse_samples(
			s,
			"no memory may be locked for perf events: raise kernel.perf_event_mlock_kb, or have CAP_IPC_LOCK");
	else
		refuse_samples(s, "cannot open perf events: %s", error_text(err));
}

/* How often this process was preempted. */
static long preemptions(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nivcsw;
}

/*
 * Measures the shortest time that a sample takes here, ns; 0: this cannot be told. For this,
 * samples are taken of this process. While it reads a file, netto_sample notes the shortest time of
 * its own runs. While it reads the clock, a sample's interrupt is a gap between two readings, with
 * the time that a hypervisor takes for the timer. A gap in which another task ran does not count:
 * on a busy CPU most samples lead to one. Other delays make a gap longer, so the shortest gap
 * counts. Returns the longer of the two times.
 */
static uint64_t sample_cost(struct netto *skel, uint64_t cycles)
{
	enum { HZ = 5000, GAPS = 16, FEWEST_GAPS = 4, LOOK_NS = 400000, MOST_NS = 100000000 };
	struct perf_event_attr attr = event_attr(cycles);
	const volatile __u32 *samples = &skel->bss->samples;
	double interrupt_ns = INFINITY;
	uint64_t began = now_ns(CLOCK_MONOTONIC), last, now = began;
	char text[16];
	int program = bpf_program__fd(skel->progs.netto_sample), event, gaps = 0;

	attr.sample_period = (cycles ? cycles : NSEC_PER_SEC) / HZ;
	event = open_event(&attr, -1);
	if (event < 0 || ioctl(event, PERF_EVENT_IOC_SET_BPF, program)) {
		close(event);
		return 0;
	}
	skel->bss->interval_id = UINT32_MAX; /* an interval without a report */
	while (gaps < GAPS && now - began < MOST_NS) {
		long preempted = preemptions();
		uint64_t start, gap_ns = 0;

		read_small_file("/proc/self/stat", text, sizeof(text));
		for (start = last = now_ns(CLOCK_MONOTONIC); !gap_ns; last = now) {
			__u32 before = *samples;

			now = now_ns(CLOCK_MONOTONIC);
			if (*samples != before) /* the sample came in this gap or in the next one */
				gap_ns = fmax(now - last, now_ns(CLOCK_MONOTONIC) - now);
			else if (now - start > LOOK_NS)
				break;
		}
		if (!gap_ns || preemptions() != preempted)
			continue;
		interrupt_ns = fmin(interrupt_ns, gap_ns);
		gaps++;
	}
	skel->bss->interval_id = skel->bss->every = 0; /* these samples came too often on purpose */
	close(event);
	return gaps < FEWEST_GAPS ? 0 : fmax(interrupt_ns, skel->bss->sample_ns);
}

static void limit_samples(struct sampler *s, unsigned hz, const char *why)
{
	if (hz >= s->hz)
		return;
	message("samples are taken at %u Hz, not %u: more %s", hz, s->hz, why);
	s->hz = hz;
}

/*
 * The highest frequency at which samples take at most a tenth of a CPU. netto_sample itself keeps
 * to 5 % (sample_part), and this frequency keeps the interrupts to 3 %. The other 2 % are for the
 * code after a sample, which finds its caches cold. Without eBPF, or on a CPU that is too busy, the
 * cost of a sample is not known: MAX_RING_HZ is low enough for a slow CPU.
 */
static unsigned affordable_hz(struct netto *skel, uint64_t cycles)
{
	uint64_t cost_ns;

	if (pretends_missing("limit"))
		return MAX_HZ;
	if (!skel)
		return MAX_RING_HZ;
	cost_ns = sample_cost(skel, cycles);
	if (opt.verbose && cost_ns)
		message("a sample takes %.1f us at least", cost_ns / 1e3);
	return cost_ns ? fmax(0.03 * NSEC_PER_SEC / cost_ns, 1) : MAX_RING_HZ;
}

/* The nanoseconds by which this time namespace's CLOCK_MONOTONIC is ahead of the kernel's. */
static int64_t clock_offset(void)
{
	char text[64];
	long long seconds = 0, ns = 0;

	read_small_file("/proc/self/timens_offsets", text, sizeof(text));
	sscanf(text, "monotonic %lld %lld", &seconds, &ns);
	return seconds * (int64_t)NSEC_PER_SEC + ns;
}

/*
 * Maps the table and starts the samples. They are taken by cycles, which also show code that runs
 * with interrupts off, or else by the timer. `skel` is NULL without eBPF.
 */
static void start_samples(struct sampler *s, struct netto *skel)
{
	const struct bpf_program *program = skel ? skel->progs.netto_sample : NULL;
	uint64_t cycles;
	int err;

	if (!s->hz)
		return;
	s->tables = mmap(NULL, s->buf_size * s->nr_bufs * s->cpus,
			 skel ? PROT_READ : PROT_READ | PROT_WRITE,
			 skel ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
			 skel ? bpf_map__fd(skel->maps.netto_stacks) : -1, 0);
	if (s->tables == MAP_FAILED) {
		refuse_samples(s, "cannot map the table of stacks: %s", strerror(errno));
		return;
	}
	cycles = cycles_per_second();
	limit_samples(s, read_number("/proc/sys/kernel/perf_event_max_sample_rate") ?: MAX_HZ,
		      "is not allowed by kernel.perf_event_max_sample_rate");
	limit_samples(s, affordable_hz(skel, cycles), "could take over 10 % of a CPU");
	err = sample_all(s, program, cycles);
	if (err && cycles)
		err = sample_all(s, program, 0);
	if (err)
		explain_no_events(s, err);
	if (err || skel)
		return;
	s->offset_ns = clock_offset();
	/* the time in which stacks of MAX_DEPTH frames fill half a ring */
	s->period_ns = RING_BYTES / 2 * NSEC_PER_SEC / sizeof(struct record) / s->hz;
}

/*
 * Notes where the code of this process's eBPF programs begins and ends. kallsyms has no ends. If
 * another program lay right behind ours and was unloaded, its addresses would be taken for ours.
 */
static void find_own_code(struct own_code *own, struct netto *skel)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, skel->obj)
	{
		__u64 addresses[16] = {};
		__u32 bytes[16] = {}, size = sizeof(struct bpf_prog_info);
		struct bpf_prog_info info = { .jited_ksyms = (uintptr_t)addresses,
					      .nr_jited_ksyms = ARRAY_SIZE(addresses),
					      .jited_func_lens = (uintptr_t)bytes,
					      .nr_jited_func_lens = ARRAY_SIZE(bytes) };

		if (bpf_program__fd(p) < 0 ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &size))
			continue;
		for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++)
			if (addresses[i] && bytes[i] && own->count < ARRAY_SIZE(own->functions))
				own->functions[own->count++] =
					(typeof(own->functions[0])) { addresses[i], bytes[i] };
	}
}

/*
 * Whether an eBPF program or a module was loaded since the last call. The kernel numbers programs
 * in sequence, and lists the newest module first. If a number or the list cannot be read, nothing
 * counts as loaded.
 */
static bool has_new_code(void)
{
	static char last_module[64];
	static uint32_t last_id;
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	char module[sizeof(last_module)];
	int fd = try_program(BPF_PROG_TYPE_SOCKET_FILTER, 0);
	bool changed;

	bpf_obj_get_info_by_fd(fd, &info, &size);
	close(fd);
	read_small_file("/proc/modules", module, sizeof(module));
	module[strcspn(module, " ")] = 0;
	changed = (info.id && info.id != last_id + 1) || strcmp(module, last_module);
	last_id = info.id;
	strcpy(last_module, module);
	return changed;
}

/* The buffer of an interval on a CPU. It holds an older interval until a sample is counted. */
static stack_buf_t *buf_at(const struct sampler *s, int cpu, uint32_t interval_id)
{
	size_t index = cpu * s->nr_bufs + (interval_id & (s->nr_bufs - 1));

	return (stack_buf_t *)(s->tables + index * s->buf_size);
}

/* ==== 10. Samples without eBPF: what netto_sample does ==== */

/* The same buffer, emptied if it holds an older interval. */
static stack_buf_t *buf_for(struct sampler *s, int cpu, uint32_t interval_id)
{
	stack_buf_t *buf = buf_at(s, cpu, interval_id);

	if (buf->interval_id != interval_id)
		*buf = (stack_buf_t) { .interval_id = interval_id };
	return buf;
}

/* Counts a stack of `depth` addresses. The format and the hash are those of netto.bpf.c. */
static void count_stack(struct sampler *s, stack_buf_t *buf, const uint64_t *stack, unsigned depth)
{
	uint64_t hash = EV_OTHER, *words = (uint64_t *)&buf->slots[s->hash_slots] + buf->used;
	typeof(buf->slots[0]) *slot;
	unsigned tries = 0;
	bool taken;

	for (unsigned i = 0; i < depth; i++)
		hash = add_to_hash(hash, stack[i]);
	do {
		slot = &buf->slots[(hash + tries++) & (s->hash_slots - 1)];
		taken = slot->interval_id == buf->interval_id;
	} while (taken && slot->hash != hash && tries < s->hash_slots);
	if (taken && slot->hash == hash) {
		slot->count++;
	} else if (taken || buf->used + 1 + depth > s->stack_words) {
		buf->full++;
	} else {
		slot->hash = hash;
		slot->interval_id = buf->interval_id;
		slot->count = 1;
		words[0] = EV_OTHER | depth << 8 | (uint64_t)(slot - buf->slots) << 32;
		memcpy(words + 1, stack, depth * sizeof(*stack));
		buf->used += 1 + depth;
	}
}

/* Counts a sample by its stack. Markers such as PERF_CONTEXT_KERNEL are no part of the stack. */
static void count_record(struct sampler *s, stack_buf_t *buf, const struct record *record)
{
	uint64_t stack[MAX_DEPTH];
	unsigned depth = 0;

	for (unsigned i = 0; i < record->count && i < ARRAY_SIZE(record->words); i++)
		if (record->words[i] < PERF_CONTEXT_MAX && depth < MAX_DEPTH)
			stack[depth++] = record->words[i];
	count_stack(s, buf, stack, depth);
}

/*
 * Counts the records of a ring: until `end_ns` for the interval, then for the next one. Positions
 * are kept in a long, which one instruction loads. A long of 32 bits wraps around.
 */
static void read_ring(struct sampler *s, int cpu, uint32_t interval_id, uint64_t end_ns)
{
	struct perf_event_mmap_page *page = s->rings[cpu];
	const char *ring = (const char *)page + sysconf(_SC_PAGESIZE);
	unsigned long head = *(volatile __u64 *)&page->data_head, at = page->data_tail;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	while (at != head) {
		struct record record = {};
		size_t size = ((const struct perf_event_header *)(ring + at % RING_BYTES))->size;
		bool next;

		if (size < sizeof(record.header) || size % 8 || size > head - at) {
			buf_for(s, cpu, interval_id)->full++; /* broken: skip to the end */
			at = head;
			break;
		}
		for (size_t i = 0; i < size && i < sizeof(record); i += 8)
			memcpy((char *)&record + i, ring + (at + i) % RING_BYTES, 8);
		at += size;
		if (record.header.type == PERF_RECORD_LOST) /* count: how many were lost */
			buf_for(s, cpu, interval_id)->full += record.count;
		record.time_ns += s->offset_ns;
		next = record.time_ns >= end_ns;
		if (record.header.type == PERF_RECORD_SAMPLE && record.time_ns >= s->started_ns &&
		    (!next || s->nr_bufs > 1))
			count_record(s, buf_for(s, cpu, interval_id + next), &record);
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	*(volatile __u64 *)&page->data_tail = at;
}

static void read_rings(struct sampler *s, uint32_t interval_id, uint64_t end_ns)
{
	for (int cpu = 0; cpu < s->cpus; cpu++)
		if (s->rings[cpu])
			read_ring(s, cpu, interval_id, end_ns);
}

/* ==== 11. Probes: loading, attaching and explaining them ==== */

/* Whether a hook measures an event. An event without any function in this kernel is traced as 0. */
static bool is_traced(const struct session *s, int event)
{
	int probes = 0, absent = 0;

	for (const struct probe *p = s->probes; p < s->probes + MAX_PROBES; p++) {
		if (p->event != event)
			continue;
		if (p->kind)
			return true;
		probes++;
		absent += p->absent;
	}
	return probes && absent == probes && !s->no_bpf[0];
}

/* The program that counts polls by device; NULL: there is none. */
static struct bpf_program *device_program(const struct session *s)
{
	return s->devices.refused	? NULL
	       : base_kind(s) == TP_BTF ? s->skel->progs.netto_poll
	       : base_kind(s) == RAW_TP ? s->skel->progs.netto_poll_r
					: NULL;
}

/* The tracepoint of device_program(), as -v and CSV name it. */
static const char *device_hook(const struct session *s)
{
	return !device_program(s)	? NULL
	       : base_kind(s) == TP_BTF ? "tp_btf:napi_poll"
					: "tracepoint:napi_poll";
}

/* Runs netto_mark on a CPU. Returns 0 or -errno; -ENXIO: the CPU is offline. */
static int run_mark(const struct session *s, int cpu)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = cpu);

	return bpf_prog_test_run_opts(bpf_program__fd(s->skel->progs.netto_mark), &run);
}

/*
 * Opens the object anew, and loads the programs that open_probes() chooses for `only`. With KINDS
 * these are all programs, netto_sample included. Returns 0 or -errno.
 */
static int try_load(struct session *s, int only)
{
	int functions = open_probes(s, only), base = base_kind(s), err;
	bool storage = s->storage && base == TP_BTF && functions > 0;
	bool hash = !storage && (s->rt ? base != NO_HOOK : functions > 0);
	struct netto *skel = s->skel;

	if (functions < 0)
		return functions;
	skel->rodata->rt = s->rt;
	skel->rodata->addresses = s->is_32_bit ? UINT32_MAX : UINT64_MAX;
	skel->rodata->hooks_switch = base != NO_HOOK;
	skel->rodata->reads_task_fields = base == TP_BTF;
	skel->rodata->parking = storage ? PARK_STORAGE : hash ? PARK_HASH : PARK_NOWHERE;
	skel->rodata->tasks = opt.tasks && base != NO_HOOK;
	bpf_program__set_autoload(skel->progs.netto_free, hash);
	if (device_program(s))
		bpf_program__set_autoload(device_program(s), true);
	bpf_map__set_autocreate(skel->maps.netto_storage, storage);
	bpf_map__set_autocreate(skel->maps.netto_saved, hash);
	bpf_map__set_autocreate(skel->maps.netto_tasks, skel->rodata->tasks);
	bpf_map__set_autocreate(skel->maps.netto_polled, device_program(s));
	bpf_map__set_max_entries(skel->maps.netto_polled, s->cpus);
	if (pretends_missing("room")) {
		bpf_map__set_max_entries(skel->maps.netto_saved, 8);
		bpf_map__set_max_entries(skel->maps.netto_tasks, 8);
	}
	if (only == KINDS)
		configure_samples(&s->sampler, skel);
	err = netto__load(skel);
	if (!err && pretends_missing("bpf"))
		err = -EPERM;
	if (!err && pretends_missing("memory") && skel->rodata->hash_slots > 64)
		err = -ENOMEM;
	/* Kernels before 5.5 cannot map global variables (bss). Kernels from 5.10 on can run a
	   program on a given CPU: for an id that no CPU has, they return -ENXIO. */
	if (!err && (!skel->bss || pretends_missing("test_run") || run_mark(s, s->cpus) != -ENXIO))
		err = -EOPNOTSUPP;
	return err;
}

/*
 * Gives up a part of the object after loading failed with `load_err`. One refused program makes the
 * whole object fail. So each part is loaded alone until one fails: the base, then the functions of
 * each kind. Returns false if no part is left to give up.
 */
static bool refuse_part(struct session *s, int load_err)
{
	int err = try_load(s, NO_HOOK), refused = base_kind(s);
	bool by_devices = err && device_program(s);

	for (int kind = FENTRY; kind < KINDS && !err; kind++) {
		refused = kind;
		err = try_load(s, kind);
	}
	if (err && s->storage && !by_devices) {
		s->storage = false;
		if (!try_load(s, refused))
			return true;
		s->storage = true;
	}
	if (!err && s->sampler.hz && s->sampler.scan) {
		/* lockdown forbids bpf_probe_read_kernel(), which scans stacks */
		s->sampler.scan = false;
		return true;
	}
	if ((load_err == -EINVAL || load_err == -EACCES || load_err == -E2BIG) && has_bpf_events())
		message("the kernel refuses a program (%s): ./build.sh debug makes a netto that shows the verifier's log",
			strerror(-load_err));
	if (by_devices)
		s->devices.refused = error_text(err);
	else if (err)
		s->lacks[refused] = error_text(err);
	else if (s->sampler.hz)
		refuse_samples(&s->sampler, "cannot load their program: %s", strerror(-load_err));
	else
		return false;
	return refused != NO_HOOK;
}

/* Keeps a link for detach_probes(). Returns 0, or -errno if libbpf returned no link. */
static int keep_link(struct session *s, struct bpf_link *link)
{
	if (!link)
		return -errno;
	s->links[s->nr_links++] = link;
	return 0;
}

/* Attaches a program, by one link, to the functions of all its probes. Returns 0 or -errno. */
static int attach_multi(struct session *s, struct bpf_program *program, struct bpf_link **link)
{
	unsigned long addresses[MAX_PROBES];
	__u64 cookies[MAX_PROBES];
	LIBBPF_OPTS(bpf_kprobe_multi_opts, opts, .addrs = addresses, .cookies = cookies,
		    .retprobe = program == s->skel->progs.netto_multi_x);

	for (const struct probe *p = s->probes; p < s->probes + MAX_PROBES; p++) {
		if (p->entry != program && p->exit != program)
			continue;
		addresses[opts.cnt] = p->address;
		cookies[opts.cnt++] = p->event | p->how << 8;
	}
	if (opts.cnt)
		*link = bpf_program__attach_kprobe_multi_opts(program, NULL, &opts);
	return opts.cnt && !*link ? -errno : 0;
}

/* Attaches the programs of a probe, of any kind but kprobe.multi. Returns 0 or -errno. */
static int attach_probe(struct session *s, const struct probe *p)
{
	struct bpf_program *programs[] = { p->entry, p->exit };
	int err = 0;

	for (int at_return = 0; at_return < 2 && programs[at_return] && !err; at_return++)
		err = keep_link(s, p->kind == KPROBE
					   ? bpf_program__attach_kprobe(programs[at_return],
									at_return, p->target)
					   : bpf_program__attach(programs[at_return]));
	return err;
}

/*
 * Attaches all programs, in the order of probes[]. sched_switch is last there: CPUs start to count
 * with it, and all other hooks must be in place by then. Returns 0; -EAGAIN if a hook was refused
 * and the object must be loaded anew; or -errno at a limit of this process or machine.
 */
static int attach_probes(struct session *s)
{
	struct netto *skel = s->skel;
	struct bpf_program *others[] = { skel->progs.netto_sent, skel->progs.netto_received,
					 skel->progs.netto_free };
	int refused = MULTI, err;
	bool complete = true;

	err = attach_multi(s, skel->progs.netto_multi, &skel->links.netto_multi)
		      ?: attach_multi(s, skel->progs.netto_multi_x, &skel->links.netto_multi_x);
	for (unsigned i = 0; i < ARRAY_SIZE(others) && !err; i++) {
		refused = base_kind(s);
		if (bpf_program__autoload(others[i]))
			err = keep_link(s, bpf_program__attach(others[i]));
	}
	for (struct probe *p = s->probes; p < s->probes + MAX_PROBES && !err; p++) {
		/* the rows of several events share a tracepoint, which is attached once */
		bool shared = !p->function && p > s->probes && p->entry == p[-1].entry;

		if (!p->entry || p->kind == MULTI || shared)
			continue;
		show_waiting("putting on probes");
		refused = p->kind;
		err = attach_probe(s, p);
		if (p->kind == FENTRY && err == -ENOTSUPP)
			break; /* fentry works for no function: arm64 before 6.4 */
		if (err && !is_exhausted(err) && p->function) {
			p->refused[p->kind] = error_text(err);
			complete = false;
			err = 0;
		}
	}
	clear_progress();
	if (is_exhausted(err))
		return err;
	if (err)
		s->lacks[refused] = error_text(err);
	return err || !complete ? -EAGAIN : 0;
}

/* Maps the table of polled devices, and attaches the program that fills it. */
static void attach_devices(struct session *s)
{
	void *map;

	if (!device_program(s))
		return;
	map = mmap(NULL, s->cpus * sizeof(polled_t), PROT_READ, MAP_SHARED,
		   bpf_map__fd(s->skel->maps.netto_polled), 0);
	if (map != MAP_FAILED)
		s->devices.polled = map;
	if (map == MAP_FAILED || keep_link(s, bpf_program__attach(device_program(s))))
		s->devices.refused = errno == ENOENT ? "tracefs is not mounted" : strerror(errno);
}

static void detach_probes(struct session *s)
{
	for (int i = 0; i < s->nr_links; i++) {
		bpf_link__destroy(s->links[i]);
		show_waiting("taking off probes");
	}
	s->nr_links = 0;
	clear_progress();
	if (s->devices.polled)
		munmap((void *)s->devices.polled, s->cpus * sizeof(polled_t));
	s->devices.polled = NULL;
	netto__destroy(s->skel);
	s->skel = NULL;
}

/* Loads and attaches the best programs that this kernel takes. Returns 0 or -errno. */
static int load_probes(struct session *s)
{
	int err = init_probes(s);

	if (err)
		return err;
	tell_phase("this host was looked at");
	do {
		err = try_load(s, KINDS);
		if (!err) {
			tell_phase("programs were loaded");
			attach_devices(s);
			err = attach_probes(s);
			tell_phase("probes were put on");
		} else if (err == -ENOMEM ? shrink_table(&s->sampler)
					  : !is_exhausted(err) && refuse_part(s, err)) {
			err = -EAGAIN;
		}
		if (err)
			detach_probes(s);
	} while (err == -EAGAIN);
	return err;
}

/*
 * Writes into s->no_bpf why the programs cannot be loaded or attached, and the cure. Returns the
 * exit status to end with if samples fail, too.
 */
static int explain_load(struct session *s, int err)
{
	char modes[40], *mode, lockdown[64] = "", limit[112] = "", map[64];
	struct rlimit memlock;

	getrlimit(RLIMIT_MEMLOCK, &memlock);
	if (memlock.rlim_cur < 16 << 20)
		FORMAT(limit,
		       "RLIMIT_MEMLOCK, which counts before Linux 5.11, is %llu kB: run `ulimit -l unlimited` first",
		       (unsigned long long)memlock.rlim_cur / 1024);
	read_small_file("/proc/self/uid_map", map, sizeof(map));
	read_small_file("/sys/kernel/security/lockdown", modes, sizeof(modes));
	mode = strchr(modes, '['); /* "none [integrity] confidentiality" */
	if (mode)
		FORMAT(lockdown, "lockdown is %.*s, or ", (int)strcspn(mode + 1, "]"), mode + 1);
	if (syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0) < 0 && errno == ENOSYS) {
		FORMAT(s->no_bpf, "this kernel has no eBPF: it needs CONFIG_BPF_SYSCALL");
	} else if (err == -EOPNOTSUPP) {
		FORMAT(s->no_bpf, "this kernel's eBPF is too old: it must be 5.10 or newer");
	} else if (err == -EPERM && limit[0] &&
		   libbpf_probe_bpf_helper(BPF_PROG_TYPE_SOCKET_FILTER,
					   BPF_FUNC_ktime_get_coarse_ns, NULL) == 0) {
		/* the verifier ran, and does not know a helper of 5.11 */
		FORMAT(s->no_bpf, "%s", limit);
		return EXIT_FAILED;
	} else if (err == -EPERM && map[0] && !strstr(map, " 4294967295")) {
		FORMAT(s->no_bpf, "in a user namespace eBPF is not permitted: run it outside");
	} else if (err == -EPERM) {
		FORMAT(s->no_bpf,
		       "this kernel refuses eBPF: %sa security module or a seccomp filter forbids it%s%s",
		       lockdown, limit[0] ? "; or " : "", limit);
	} else if (!is_exhausted(err) && !has_bpf_events()) {
		FORMAT(s->no_bpf,
		       "this kernel has no eBPF for tracing: it needs CONFIG_BPF_EVENTS (OpenWrt: CONFIG_KERNEL_BPF_EVENTS=y)");
	} else {
		FORMAT(s->no_bpf, "cannot load and attach the eBPF programs: %s", error_text(err));
		return EXIT_FAILED;
	}
	return EXIT_IMPOSSIBLE;
}

/* Whether samples can measure an event: all but net_other need a root function in the stacks. */
static bool is_sampled(const struct session *s, int event)
{
	bool has_root = event == EV_NET_OTHER;

	for (unsigned i = 0; i < ARRAY_SIZE(roots); i++)
		has_root |= roots[i].event == event;
	for (int i = 0; i < MAX_PROBES; i++)
		has_root |= s->probes[i].event == event && is_root(s->probes[i].how);
	return s->sampler.hz && has_root;
}

/*
 * Whether a function may exist and is not hooked, although other hooks trace the event. A function
 * and its spare do not count, since one of the two is enough. Nor does the function of a thread:
 * netto_switch knows threads by their names.
 */
static bool is_left_out(const struct session *s, const struct probe *p)
{
	return p->function && !p->kind && !p->absent && is_traced(s, p->event) && !spare_of(p) &&
	       !event_is(p->event, OF_THREADS);
}

/*
 * Whether samples have to measure an event of probes[]: all of the event, or the functions that
 * are left out. EV_NONE: whether samples have to measure any event.
 */
static bool needs_samples(const struct session *s, int event)
{
	for (const struct probe *p = s->probes; p < s->probes + MAX_PROBES; p++)
		if ((event == EV_NONE || p->event == event) && is_sampled(s, p->event) &&
		    (is_left_out(s, p) || !is_traced(s, p->event)))
			return true;
	return false;
}

static bool is_kprobe_used(const struct session *s)
{
	for (const struct probe *p = s->probes; p < s->probes + MAX_PROBES; p++)
		if (p->entry && p->kind == KPROBE)
			return true;
	return false;
}

/*
 * Prints the probes of an event that are of a kind, if `taken`; else why the other probes are not
 * of this kind. Probes with the same reason share a line. Of NO_HOOK are functions that samples
 * measure. Reasons in s->lacks[] hold for all probes: explain_probes() prints each of them once.
 */
static void explain_kind(const struct session *s, int event, int kind, bool taken)
{
	const char *reasons[MAX_PROBES] = {}; /* of probes that are still to be printed */

	for (int i = 0; i < MAX_PROBES; i++) {
		const struct probe *p = &s->probes[i];
		const char *reason = taken ? "" : p->why_not[kind];
		bool of_kind = kind == NO_HOOK ? is_left_out(s, p) && is_sampled(s, event)
					       : p->entry && p->kind == kind;

		if (p->event == event && of_kind == taken && reason != s->lacks[kind])
			reasons[i] = reason;
	}
	for (int i = 0; i < MAX_PROBES; i++) {
		const char *reason = reasons[i];
		char list[1024] = "";

		if (!reason)
			continue;
		for (int same = i; same < MAX_PROBES; same++) {
			if (!reasons[same] || strcmp(reasons[same], reason))
				continue;
			APPEND(list, " %s", s->probes[same].target);
			reasons[same] = NULL;
		}
		message("%s: %s%s%s%s:%s", (const char *)s->skel->rodata->events[event].name,
			taken ? "" : "not ", hook_names[kind], taken ? "" : ", ", reason, list);
	}
}

/* -v: prints what measures each event, and why nothing better does. */
static void explain_probes(const struct session *s)
{
	if (s->skel->rodata->parking == PARK_STORAGE)
		message("operations of tasks off the CPU are kept in task storage");
	else if (s->skel->rodata->parking == PARK_HASH)
		message("operations of tasks off the CPU are kept in a hash with room for %u tasks: %s",
			bpf_map__max_entries(s->skel->maps.netto_saved),
			s->rt	     ? "PREEMPT_RT has softirqs to keep too"
			: s->storage ? "tasks cannot be told by BTF"
				     : "this kernel has no task storage");
	if (s->no_bpf[0])
		message("no eBPF: %s", s->no_bpf);
	if (s->rt && base_kind(s))
		message("PREEMPT_RT: softirqs belong to the tasks that run them");
	if (s->sampler.hz)
		message("samples: %s at %u Hz; room for %u stacks of 30 frames on each CPU, %zu kB on %d CPUs",
			s->sampler.clock, s->sampler.hz, s->sampler.stack_words / 31,
			s->sampler.buf_size * s->sampler.nr_bufs * s->sampler.cpus / 1024,
			s->sampler.cpus);
	else
		message("samples: none: %s", s->sampler.why_not);
	for (int kind = NO_HOOK + 1; kind < KINDS; kind++)
		if (s->lacks[kind] && s->lacks[kind] != s->no_bpf)
			message("no %s: %s", hook_names[kind], s->lacks[kind]);
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		for (int taken = 0; taken < 2; taken++)
			for (int kind = NO_HOOK; kind < KINDS; kind++)
				explain_kind(s, e, kind, taken);
	message("devices: %s",
		device_hook(s) ?: s->devices.refused ?: "not told: sched_switch is not traced");
	if (is_kprobe_used(s))
		message("kprobes: %d tasks can be in a function at once, %d if this kernel is not preemptible: returns of more are missed, and counted",
			s->cpus > 5 ? 2 * s->cpus : 10, s->cpus); /* see register_kretprobe() */
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		if (!is_traced(s, e))
			message("%s: %s", (const char *)s->skel->rodata->events[e].name,
				!is_sampled(s, e)		? "not measured"
				: e == EV_IDLE && !base_kind(s) ? "from /proc/stat"
								: "from samples");
}

/*
 * With -m trace: false after a message if hooks miss an event or a part of it. Else true, after a
 * message for each function that neither a hook nor samples measure.
 */
static bool is_all_traced(const struct session *s)
{
	for (const struct probe *p = s->probes; p < s->probes + MAX_PROBES; p++) {
		const char *name = (const char *)s->skel->rodata->events[p->event].name;
		const char *why = p->why_not[p->function ? FENTRY : TP_BTF];
		bool traced = is_traced(s, p->event);

		if (p->kind || p->absent || (traced && !is_left_out(s, p)))
			continue;
		if (opt.mode == TRACE) {
			message("this kernel lets %s not be traced (%s: %s): -m auto and -m sample need not trace it",
				name, p->target, why);
			return false;
		}
		if (traced && !is_sampled(s, p->event))
			message("%s: without %s, which this kernel lets not be traced: %s", name,
				p->target, why);
	}
	return true;
}

/*
 * Takes all times from /proc/stat, since there are neither hooks nor samples, and prints why.
 * Returns 0, or the exit status if an option asks for more, or /proc/stat cannot be read.
 */
static int use_accounts(struct session *s)
{
	const char *no_bpf = s->no_bpf[0] ? s->no_bpf : s->probes[MAX_PROBES - 1].why_not[RAW_TP];
	const char *no_samples = opt.freq ? s->sampler.why_not : "-F is 0";
	bool enough = opt.mode == AUTO && !opt.folded && !access("/proc/stat", R_OK);

	message("%s: nothing can be traced, nor sampled:",
		enough ? "from the kernel's own accounts" : "nothing can be measured");
	message("  no eBPF: %s", no_bpf);
	message("  no samples: %s", no_samples);
	if (strstr(no_bpf, "CONFIG_") || strstr(no_samples, "CONFIG_"))
		message("  OpenWrt's build options are CONFIG_KERNEL_PERF_EVENTS=y, which gives stages, and CONFIG_KERNEL_BPF_EVENTS=y, which gives tracing");
	s->accounted = true;
	return enough ? 0 : EXIT_IMPOSSIBLE;
}

/*
 * Starts samples on a host without eBPF, if the host has perf events: this process counts their
 * stacks. Returns 0, also without samples, or the exit status after a message.
 */
static int start_without_bpf(struct session *s, int status)
{
	for (int kind = NO_HOOK + 1; kind < KINDS; kind++)
		if (!s->lacks[kind])
			s->lacks[kind] = s->no_bpf;
	if (opt.mode == TRACE) {
		message("%s", s->no_bpf);
		return status;
	}
	s->skel = open_object(s, false); /* its tables are read, and it is not loaded */
	if (!s->skel) {
		message("cannot open the eBPF object: %s", strerror(errno));
		return EXIT_FAILED;
	}
	read_probe_table(s, s->skel); /* without permission, start_bpf() did not come that far */
	choose_kinds(s);
	close(s->sampler.kallsyms);
	plan_samples(&s->sampler); /* refuse_part() may have given samples up */
	start_samples(&s->sampler, NULL);
	if (!s->sampler.hz && status == EXIT_FAILED) {
		message("%s", s->no_bpf);
		return status;
	}
	if (s->sampler.hz && !opt.verbose)
		message("no eBPF: %s: all is told from samples", s->no_bpf);
	return 0;
}

/* Loads and attaches the programs. Returns 0, or an exit status, with the reason in s->no_bpf. */
static int start_bpf(struct session *s)
{
	const uint64_t needed = 1ull << CAP_BPF | 1ull << CAP_PERFMON,
		       held = permitted_capabilities();
	int err;

	if (!(held >> CAP_SYS_ADMIN & 1) && (held & needed) != needed) {
		FORMAT(s->no_bpf,
		       "not permitted to use eBPF: run it as root, or with CAP_BPF and CAP_PERFMON");
		return EXIT_IMPOSSIBLE;
	}
	err = load_probes(s);
	return err ? explain_load(s, err) : 0;
}

/* Prints a line if programs are interpreted: they take 3.8 times as many instructions then. */
static void warn_if_interpreted(const struct session *s)
{
	char setting[8];
	int err = read_small_file("/proc/sys/net/core/bpf_jit_enable", setting, sizeof(setting));
	bool no_jit = err == -ENOENT && !access("/proc/sys/net/core", F_OK);

	if (base_kind(s) && (no_jit || setting[0] == '0'))
		message("eBPF is interpreted here, and costs four times as much: %s",
			no_jit ? "this kernel has no CONFIG_BPF_JIT"
			       : "run `sysctl -w net.core.bpf_jit_enable=1` first");
}

/* Starts all that can measure on this host. Returns 0, or the exit status after a message. */
static int start_probes(struct session *s)
{
	struct utsname uts;
	int status;

	if (!raise_file_limit())
		return EXIT_FAILED;
	s->cpus = read_cpus("possible", NULL) + 1;
	if (!s->cpus)
		return EXIT_FAILED;
	if (s->cpus > MAX_CPUS) {
		message("this machine can have %d CPUs, and this netto was built for %d: raise MAX_CPUS in netto.bpf.c",
			s->cpus, MAX_CPUS);
		return EXIT_FAILED;
	}
	uname(&uts);
	s->rt = strstr(uts.version, "PREEMPT_RT");
	s->is_32_bit = !strstr(uts.machine, "64"); /* x86_64, aarch64, riscv64, mips64 */
	s->storage = !s->rt && !pretends_missing("storage") &&
		     libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) == 1;
	plan_samples(&s->sampler);
	status = start_bpf(s);
	if (status)
		status = start_without_bpf(s, status);
	else if (!is_all_traced(s))
		status = EXIT_IMPOSSIBLE;
	else
		start_samples(&s->sampler, s->skel);
	if (!status && !s->no_bpf[0] && s->sampler.hz)
		find_own_code(&s->sampler.own, s->skel);
	if (!status && !s->sampler.hz && !base_kind(s))
		status = use_accounts(s);
	if (status)
		return status;
	if (!s->sampler.hz && base_kind(s) && opt.freq && (!opt.verbose || opt.folded))
		message("no samples, and so no stages: %s", s->sampler.why_not);
	if (opt.tasks && !s->skel->rodata->tasks)
		message("no tasks: nothing is traced here");
	warn_if_interpreted(s);
	if (!s->sampler.hz && opt.folded)
		return EXIT_FAILED;
	open_energy(&s->energy);
	return drop_capabilities(!s->no_bpf[0]) ? EXIT_FAILED : 0;
}

static void stop_probes(struct session *s)
{
	stop_samples(&s->sampler);
	detach_probes(s);
}

/* ==== 12. Marks: reading what CPUs have, and what /proc has ==== */

/* The sums of a CPU since it began to count, at a mark; or their differences between two marks. */
struct times {
	uint64_t wall_ns; /* 0: the CPU is not measured */
	uint64_t ns[EV_MAX];
	uint64_t parts_ns[PARTS];    /* of rx_softirq, by what the softirq interrupts, if traced */
	uint64_t count[EV_MAX];	     /* entries */
	uint64_t lost;		     /* operations that could not be parked */
	uint64_t unreturned;	     /* operations whose end was missed */
	uint64_t unreturned_ns;	     /* time charged to these operations, at most */
	uint64_t unseen_ns;	     /* time of unknown tasks, which wall_ns leaves out */
	uint64_t proc_idle_ns;	     /* idle time by /proc/stat; UINT64_MAX: not known */
	uint64_t soft_ns;	     /* softirqs of all vectors, by /proc/stat */
	uint64_t accounted_ns;	     /* all columns of /proc/stat */
	uint64_t counts[COUNTS];     /* by /proc; of softirqs only if all is from /proc */
	uint64_t longest_ns[EV_MAX]; /* longest span without a break, of events with HAS_LONGEST */
	/*
	 * How far the 95 % intervals reach below and above ns[], squared. The parts of a time are
	 * sampled independently of each other, so the squares can be added. At EV_NONE: of net.
	 */
	double below[EV_MAX], above[EV_MAX];
};

/* The number of sums that struct times begins with: add_times() and others loop over these. */
enum { SUMS = offsetof(struct times, longest_ns) / sizeof(uint64_t) };

/* How reports name times.counts[]. */
static const struct {
	int event;	  /* whose entries are counted; EV_NONE: packets are counted */
	const char *name; /* of a count of packets */
} proc_counters[COUNTS] = {
	[RX_SOFTIRQS] = { EV_RX_SOFTIRQ, NULL }, [TX_SOFTIRQS] = { EV_TX_SOFTIRQ, NULL },
	[PROCESSED] = { EV_NONE, "processed" },	 [DROPPED] = { EV_NONE, "dropped" },
	[SQUEEZED] = { EV_NONE, "squeezed" },	 [RPS] = { EV_NONE, "rps" },
};

/* The operations of a process, and the time of NET_RX softirqs that interrupted the process. */
struct process {
	uint32_t pid;
	task_t did;
};

/* A network thread of the kernel, ksoftirqd included. */
struct thread {
	uint32_t pid;
	int cpu;	/* where the thread ran last */
	uint64_t ns;	/* CPU time by the scheduler's clock, in whole ticks */
	char name[32];	/* of the kernel */
	char cpus[32];	/* where the thread may run, as a list */
	bool accounted; /* runs outside softirqs: where all is from /proc, `net` includes ns */
};

/* What is read at a mark: of each CPU, and of the whole machine. */
struct marks {
	struct times cpu[MAX_CPUS]; /* the unwritten part above the last CPU takes no memory */
	bool online[MAX_CPUS];
	/* make_mark() clears all from here up to `threads` */
	bool counted[COUNTS]; /* times.counts[] are known */
	double energy_uj;     /* used by the CPU packages since the start, microjoules */
	uint64_t stolen_ns;   /* time of all CPUs that the hypervisor gave to others */
	uint64_t irq_ns;      /* top halves of all CPUs; 0 where the kernel accounts by ticks */
	size_t thread_count, process_count;
	uint64_t tasks_lost, tasks_lost_ns; /* as in netto.bpf.c */
	uint64_t user_ns, kernel_ns;	    /* CPU time of this process */
	uint64_t recursion_misses;
	bool has_recursion_misses; /* the kernel counts misses, from 5.12 on */
	double time;		   /* Unix seconds */
	/* the next mark uses this memory again */
	struct thread *threads;
	size_t thread_room;
	polled_t *polled;	   /* by CPU */
	struct process *processes; /* sorted by pid */
};

/* Keeps the longer one of both spans of each event. */
static void merge_longest(uint64_t into[EV_MAX], const __u64 longest[EV_MAX])
{
	for (int e = 0; e < EV_MAX; e++)
		if (event_is(e, HAS_LONGEST) && longest[e] > into[e])
			into[e] = longest[e];
}

static uint64_t sum_ns(const __u64 ns[16])
{
	uint64_t sum = 0;

	for (int e = 0; e < EV_MAX; e++)
		sum += ns[e];
	return sum;
}

/*
 * Whether a CPU has been sampled without a gap. A perf event ends when its CPU goes offline, and a
 * CPU that comes online later has none: from then on the CPU is not measured.
 */
static bool has_samples(struct sampler *s, int cpu, bool online)
{
	bool had = s->events[cpu] > 0;

	if (online != had && s->events[cpu] >= 0) {
		message("CPU %d was %s meanwhile: it is not sampled, and has no row", cpu,
			had ? "unplugged" : "plugged in");
		s->events[cpu] = -1;
	}
	return online && had;
}

/*
 * Reads the time of a CPU that has no hooks. The time between two marks counts if the CPU is online
 * at both. All of this time is `other` until samples or /proc/stat divide the time.
 */
static void read_clock(struct session *s, int cpu, bool online, struct times *t)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC), *since_ns = &s->clocks[cpu].since_ns;

	if (online) {
		s->clocks[cpu].wall_ns += *since_ns ? now - *since_ns : 0;
		t->wall_ns = t->ns[EV_OTHER] = s->clocks[cpu].wall_ns;
	}
	*since_ns = online ? now : 0;
}

/*
 * Reads the mark of a CPU. netto_mark can run between a program's store to `task` and its addition
 * to `ns[]`. The residual then differs from the residual of the last mark: the CPU is marked again.
 * An offline CPU has no new mark, but its sums do not change any more, so they are read instead.
 */
static void read_times(struct session *s, int cpu, bool online, struct times *t)
{
	cpu_t *c = &s->skel->bss->cpus[cpu];
	int64_t *residual = &s->residual[cpu], before = *residual;

	if (!online && !c->task)
		return; /* it never counted */
	for (int i = 0; online; i++) {
		merge_longest(t->longest_ns, c->mark_longest);
		*residual = c->mark_wall - sum_ns(c->mark_ns);
		if (*residual == before || i == MARK_TRIES || run_mark(s, cpu))
			break;
	}
	if (!online) {
		merge_longest(t->longest_ns, c->longest);
		memset(c->longest, 0, sizeof(c->longest));
	}
	memcpy(t->ns, online ? c->mark_ns : c->ns, sizeof(t->ns));
	memcpy(t->parts_ns, online ? c->mark_parts : c->parts, sizeof(t->parts_ns));
	memcpy(t->count, c->count, sizeof(t->count));
	t->wall_ns = sum_ns((const __u64 *)t->ns) + *residual;
	t->lost = c->lost;
	t->unreturned = c->unreturned;
	t->unreturned_ns = c->unreturned_ns;
	t->unseen_ns = online ? c->mark_unseen : c->unseen;
}

/*
 * Counts the program runs that the kernel skipped: the same program was under way on the CPU, or
 * kprobe.multi had no room for another task. Kernels from 6.7 on count the latter in
 * bpf_link_info.kprobe_multi.missed. Older headers lack this member, which is the 64-bit word
 * behind type and id, program, addresses, count and flags.
 */
static void read_recursion_misses(const struct session *s, struct marks *m)
{
	const struct bpf_link *multi[] = { s->skel->links.netto_multi,
					   s->skel->links.netto_multi_x };
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
	for (unsigned i = 0; i < ARRAY_SIZE(multi); i++) {
		__u64 info[8] = {};
		__u32 size = sizeof(info);

		if (multi[i] && !bpf_obj_get_info_by_fd(bpf_link__fd(multi[i]), info, &size))
			m->recursion_misses += info[4];
	}
}

/*
 * Reads /proc/stat. Each CPU's line gives the idle time with waits for input or output, the
 * softirqs, and the sum of all columns but those of guests, which `user` and `nice` include. The
 * line of all CPUs gives the top halves, and what the hypervisor gave to others. 0: not known.
 */
static void read_stat(struct marks *m)
{
	enum { USER, NICE, SYSTEM, IDLE, WAIT, IRQ, SOFT, STEAL, COLUMNS };
	FILE *f = fopen("/proc/stat", "re");
	const uint64_t tick_ns = NSEC_PER_SEC / sysconf(_SC_CLK_TCK);
	char line[256];

	while (f && fgets(line, sizeof(line), f) && !strncmp(line, "cpu", 3)) {
		uint64_t column[COLUMNS] = {}, sum = 0;
		char *end = line + 3;
		bool all = *end == ' ';
		unsigned long cpu = all ? 0 : strtoul(end, &end, 10);

		for (int i = 0; i < COLUMNS; i++)
			sum += column[i] = strtoull(end, &end, 10) * tick_ns;
		if (all) {
			m->stolen_ns = column[STEAL];
			m->irq_ns = column[IRQ];
		} else if (cpu < MAX_CPUS) {
			m->cpu[cpu].proc_idle_ns = column[IDLE] + column[WAIT];
			m->cpu[cpu].soft_ns = column[SOFT];
			m->cpu[cpu].accounted_ns = sum;
		}
	}
	if (f)
		fclose(f);
}

/* Reads NET_RX and NET_TX in /proc/softirqs, which has a column for each possible CPU. */
static void read_softirqs(struct marks *m)
{
	FILE *f = fopen("/proc/softirqs", "re");
	size_t size = 0;
	char *line = NULL, *end;
	unsigned cpus[MAX_CPUS], columns = 0;

	if (f && getline(&line, &size, f) > 0)
		for (char *p = line; (p = strstr(p, "CPU")) && columns < MAX_CPUS;)
			cpus[columns++] = strtol(p + 3, &p, 10);
	while (f && getline(&line, &size, f) > 0) {
		char *rx = strstr(line, "NET_RX:"), *p = rx ? rx : strstr(line, "NET_TX:");
		int which = rx ? RX_SOFTIRQS : TX_SOFTIRQS;

		if (!p)
			continue;
		m->counted[which] = true;
		p += strlen("NET_RX:");
		for (unsigned i = 0; i < columns; i++, p = end) {
			uint64_t n = strtoull(p, &end, 10);

			if (cpus[i] < MAX_CPUS)
				m->cpu[cpus[i]].counts[which] = n;
		}
	}
	free(line);
	if (f)
		fclose(f);
}

/*
 * Adds up the packets in /proc/net/softnet_stat (net/core/net-procfs.c). The file has a line of
 * hexadecimal numbers for each online CPU. The 10th number counts RPS's interrupts; the 13th, from
 * 5.10 on, is the CPU. The counts wrap around at 32 bits: wait_until() reads them in time.
 */
static void read_softnet(struct softnet *s, const bool online[MAX_CPUS])
{
	FILE *f = fopen("/proc/net/softnet_stat", "re");
	uint32_t now[PACKETS], cpu;
	unsigned next = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		int n = sscanf(line, "%x %x %x %*x %*x %*x %*x %*x %*x %x %*x %*x %x", &now[0],
			       &now[1], &now[2], &now[3], &cpu);

		while (next < MAX_CPUS && !online[next])
			next++;
		if (n == 4)
			cpu = next;
		next++;
		if (n < 4 || cpu >= MAX_CPUS)
			continue;
		for (int i = 0; i < PACKETS; i++) {
			if (s->seen[cpu])
				s->sums[cpu][i] += (uint32_t)(now[i] - s->last[cpu][i]);
			s->last[cpu][i] = now[i];
		}
		s->seen[cpu] = s->known = true;
	}
	if (f)
		fclose(f);
}

/*
 * Whether a thread, irq/NUMBER-NAME, serves a network card's interrupt, by its NUMBER or its NAME.
 * A card has a `device`: hardware, maybe virtual.
 */
static bool is_card_irq(const char *thread)
{
	const char *number = thread + strlen("irq/"), *dash = strchr(thread, '-');
	DIR *d = opendir("/sys/class/net");
	char path[PATH_MAX];
	struct dirent *card;
	bool found = false;

	while (d && dash && !found && (card = readdir(d))) {
		const char *name = card->d_name;

		FORMAT(path, "/sys/class/net/%s/device/msi_irqs/%.*s", name, (int)(dash - number),
		       number);
		found = !access(path, F_OK);
		FORMAT(path, "/sys/class/net/%s/device", name);
		found |= !access(path, F_OK) && !strncmp(dash + 1, name, strlen(name));
	}
	if (d)
		closedir(d);
	return found;
}

/* The network threads, by the beginnings of their names. */
static const struct thread_kind {
	const char *name;
	bool accounted; /* as in struct thread; ksoftirqd's time is that of softirqs */
} thread_kinds[] = {
	{ "napi/", true },
	{ "cpumap/", true },
	{ "backlog_", true },
	{ "mt76-", true },
	{ "ksoftirqd/", false },
	{ "irq/", false },
	{},
};

/* Adds a task to `threads` if it is a network thread. Any other task is read only once. */
static void read_task(struct marks *m, unsigned long pid)
{
	static bool others[1 << 22]; /* by pid, which is below PID_MAX_LIMIT */
	bool *other = &others[pid % ARRAY_SIZE(others)], cpus[MAX_CPUS + 1] = {};
	const struct thread_kind *kind = thread_kinds;
	char path[32], stat[512], *name, *end; /* "PID (NAME) S PARENT ..." */
	unsigned long long parent, user, kernel;
	struct thread t = { .pid = pid };
	cpu_set_t set = {};

	FORMAT(path, "/proc/%lu/stat", pid);
	if (*other || read_small_file(path, stat, sizeof(stat)))
		return;
	*other = true;
	name = strchr(stat, '(');
	end = strrchr(stat, ')');
	if (!name || !end ||
	    sscanf(end + 1,
		   " %*c %llu %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d"
		   " %*u %*u %*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %d",
		   &parent, &user, &kernel, &t.cpu) != 4 ||
	    parent != 2) /* kthreadd */
		return;
	*end = 0;
	FORMAT(t.name, "%s", name + 1);
	while (kind->name && strncmp(t.name, kind->name, strlen(kind->name)))
		kind++;
	if (!kind->name || (!strcmp(kind->name, "irq/") && !is_card_irq(t.name)))
		return;
	*other = false;
	t.accounted = kind->accounted;
	t.ns = (user + kernel) * (NSEC_PER_SEC / sysconf(_SC_CLK_TCK));
	sched_getaffinity(pid, sizeof(set), &set);
	for (int cpu = 0; cpu < MAX_CPUS && cpu < CPU_SETSIZE; cpu++)
		cpus[cpu] = CPU_ISSET(cpu, &set);
	format_cpus(cpus, t.cpus, sizeof(t.cpus));
	if (grow((void **)&m->threads, &m->thread_room, m->thread_count, sizeof(t)))
		m->threads[m->thread_count++] = t;
}

/* Reads kernel threads: children of kthreadd (pid 2); all tasks without CONFIG_PROC_CHILDREN. */
static void read_threads(struct marks *m)
{
	FILE *f = fopen("/proc/2/task/2/children", "re");
	DIR *d = f ? NULL : opendir("/proc");
	struct dirent *entry;
	unsigned long pid;

	while (f && fscanf(f, "%lu", &pid) == 1)
		read_task(m, pid);
	while (d && (entry = readdir(d)))
		if ((pid = strtoul(entry->d_name, NULL, 10)))
			read_task(m, pid);
	if (f)
		fclose(f);
	if (d)
		closedir(d);
}

/*
 * Copies what was polled on each CPU, and adds to the last instance's place what the place does not
 * have yet: see netto_divide(). A copy is made again if netto_divide() ran meanwhile.
 */
static void read_polled(const struct session *s, struct marks *m)
{
	if (!s->devices.polled)
		return;
	if (!m->polled)
		m->polled = calloc(s->cpus, sizeof(*m->polled));
	for (int cpu = 0; m->polled && cpu < s->cpus; cpu++) {
		const volatile cpu_t *c = &s->skel->bss->cpus[cpu];

		if (!m->cpu[cpu].wall_ns)
			continue;
		for (int i = 0; i < READ_TRIES; i++) {
			const uint64_t changes = c->polled.changes;
			place_t *last;

			m->polled[cpu] = s->devices.polled[cpu];
			last = &m->polled[cpu].places[c->polled.last ? c->polled.last - 1 : 0];
			last->polls += c->polled.polls;
			last->packets += c->polled.packets;
			if (c->polled.last)
				last->ns +=
					subtract(m->cpu[cpu].ns[EV_RX_SOFTIRQ], c->polled.given);
			if (c->polled.changes == changes)
				break;
		}
	}
}

static int compare_processes(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static void read_processes(const struct session *s, struct marks *m)
{
	int fd = bpf_map__fd(s->skel->maps.netto_tasks);
	unsigned room = bpf_map__max_entries(s->skel->maps.netto_tasks);
	__u32 key, *last = NULL;

	if (!s->skel->rodata->tasks)
		return;
	m->tasks_lost = s->skel->bss->tasks_lost;
	m->tasks_lost_ns = s->skel->bss->tasks_lost_ns;
	if (!m->processes)
		m->processes = calloc(room, sizeof(*m->processes));
	if (!m->processes)
		return;
	while (m->process_count < room && !bpf_map_get_next_key(fd, last, &key)) {
		struct process *p = &m->processes[m->process_count];

		p->pid = key;
		m->process_count += !bpf_map_lookup_elem(fd, &key, &p->did);
		last = &key;
	}
	qsort(m->processes, m->process_count, sizeof(*m->processes), compare_processes);
}

/* Reads the online CPUs, and the counters that wrap. Returns 0, or -ENOENT after a message. */
static int read_wrapping(struct session *s, bool online[MAX_CPUS])
{
	if (read_cpus("online", online) < 0)
		return -ENOENT;
	read_softnet(&s->softnet, online);
	read_energy(&s->energy);
	return 0;
}

/*
 * Makes a mark, which ends an interval, and begins the interval `interval_id` (0: none). Files are
 * read first, so that all CPUs are marked right after `interval_id` changes on the kernel side:
 * from then on samples are of the next interval. Returns 0 or -errno after a message.
 */
static int make_mark(struct session *s, struct marks *m, uint32_t interval_id)
{
	const bool sampled = needs_samples(s, EV_NONE);
	struct rusage usage;

	memset(m->cpu, 0, s->cpus * sizeof(m->cpu[0]));
	memset(m->online, 0, s->cpus * sizeof(m->online[0]));
	memset(m->counted, 0, offsetof(struct marks, threads) - offsetof(struct marks, counted));
	m->time = now_ns(CLOCK_REALTIME) / 1e9; /* what happened before it is in the interval */
	if (read_wrapping(s, m->online))
		return -ENOENT;
	for (int cpu = 0; cpu < s->cpus; cpu++)
		memcpy(&m->cpu[cpu].counts[PROCESSED], s->softnet.sums[cpu],
		       sizeof(s->softnet.sums[cpu]));
	memset(&m->counted[PROCESSED], s->softnet.known, PACKETS);
	m->energy_uj = s->energy.used_uj;
	read_stat(m);
	read_threads(m);
	if (s->accounted)
		read_softirqs(m);
	s->skel->bss->interval_id = interval_id;
	for (int cpu = 0; cpu < s->cpus; cpu++) {
		int err = !s->no_bpf[0] ? run_mark(s, cpu) : m->online[cpu] ? 0 : -ENXIO;
		bool known = !sampled || has_samples(&s->sampler, cpu, !err);

		if (err && err != -ENXIO) {
			message("cannot mark CPU %d: %s", cpu, strerror(-err));
			return err;
		}
		if (!base_kind(s))
			read_clock(s, cpu, !err && known, &m->cpu[cpu]);
		else if (known)
			read_times(s, cpu, !err, &m->cpu[cpu]);
	}
	read_polled(s, m);
	read_processes(s, m);
	read_recursion_misses(s, m);
	getrusage(RUSAGE_SELF, &usage);
	m->user_ns = timeval_ns(usage.ru_utime);
	m->kernel_ns = timeval_ns(usage.ru_stime);
	return 0;
}

/* ==== 13. The command, signals and waiting ==== */

/* The command that is measured. The kernel kills the command if this process ends first. */
static struct {
	pid_t pid;  /* 0: there is no command, or the command has ended */
	int socket; /* takes a byte to run the command, and gives errno if execvp() fails */
	int status; /* as in a shell's $?; 0 until the command has ended */
} command;

/*
 * Forks the child for the command, before this process changes anything that a child inherits. The
 * child waits for a byte, and ends if the socket is closed instead. False after a message.
 */
static bool prepare_command(void)
{
	int ends[2];
	char byte;
	pid_t parent = getpid();

	command.pid = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ? -1 : fork();
	if (command.pid < 0) {
		message("cannot fork: %s", strerror(errno));
		return false;
	}
	command.socket = ends[command.pid > 0];
	close(ends[!command.pid]);
	if (command.pid)
		return true;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || read(command.socket, &byte, 1) != 1)
		_exit(EXIT_FAILED);
	execvp(opt.command[0], opt.command);
	if (write(command.socket, &errno, sizeof(errno)) < 0)
		_exit(EXIT_FAILED);
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

/* Whether the command has ended. `flags` are those of waitpid(): 0 waits for the end. */
static bool has_command_ended(int flags)
{
	int status;

	if (!command.pid || waitpid(command.pid, &status, flags) != command.pid)
		return !command.pid;
	command.pid = 0;
	command.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return true;
}

/* Lets the child run the command. False after a message: then the child has ended. */
static bool start_command(void)
{
	int err;
	bool failed = write(command.socket, "", 1) == 1 &&
		      read(command.socket, &err, sizeof(err)) == sizeof(err);

	close(command.socket);
	if (failed) {
		message("cannot run '%s': %s", opt.command[0], strerror(err));
		has_command_ended(0);
	}
	return !failed;
}

/* What SIGINT, SIGTERM and SIGHUP do, by phase. The kernel takes probes off when netto exits. */
enum {
	STARTING,  /* exit, with a message that nothing was measured */
	MEASURING, /* go on to ENDING: without a command the interval ends, and is reported */
	ENDING,	   /* kill this process */
	STOPPING,  /* exit at once, since all is reported */
};
static volatile sig_atomic_t phase, status_at_end;

static sigset_t handled; /* the signals of handle_signal() */
static sigset_t awake;	 /* the mask that lets them all in */

/*
 * Passes a signal on to the command. A signal of the terminal (SI_KERNEL) reaches the command
 * without help, but a hangup may be for this process alone. Every signal wakes wait_until(); only
 * SIGINT, SIGTERM and SIGHUP change the phase.
 */
static void handle_signal(int number, siginfo_t *info, void *context)
{
	static const char early[] = "netto: ended before anything was measured\n";
	int saved = errno;

	(void)context;
	if (number == SIGCHLD)
		return;
	if (command.pid && phase != STARTING && (info->si_code != SI_KERNEL || number == SIGHUP))
		kill(command.pid, number);
	errno = saved;
	if (number != SIGINT && number != SIGTERM && number != SIGHUP)
		return;
	if (phase == STARTING && write(STDERR_FILENO, early, sizeof(early) - 1))
		_exit(command.pid ? 128 + number : EXIT_MEASURED);
	if (phase == STOPPING)
		_exit(status_at_end);
	if (phase == ENDING) {
		signal(number, SIG_DFL);
		raise(number);
	}
	phase = ENDING;
}

/*
 * Handles SIGINT even where a shell ignores SIGINT for background jobs. SIGHUP stays ignored under
 * nohup. Signals that are handled only for a command are blocked outside of wait_until().
 */
static void handle_signals(void)
{
	static const int numbers[] = { SIGINT,	SIGTERM, SIGHUP, /* and only for a command */
				       SIGCHLD, SIGQUIT, SIGUSR1, SIGUSR2 };
	struct sigaction old,
		action = { .sa_sigaction = handle_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t of_command = {};

	signal(SIGPIPE, SIG_IGN); /* closed pipes and too large files are write errors instead */
	signal(SIGXFSZ, SIG_IGN);
	for (unsigned i = 0; i < (opt.command ? ARRAY_SIZE(numbers) : 3); i++) {
		if (numbers[i] == SIGHUP && !sigaction(SIGHUP, NULL, &old) &&
		    old.sa_handler == SIG_IGN)
			continue;
		sigaction(numbers[i], &action, NULL);
		sigaddset(&handled, numbers[i]);
		if (i >= 3)
			sigaddset(&of_command, numbers[i]);
	}
	sigprocmask(SIG_UNBLOCK, &handled, NULL);
	sigprocmask(SIG_BLOCK, &of_command, &awake);
}

/* Whether the measurement has ended: with a command by the command's end, else by a signal. */
static bool has_ended(void)
{
	return opt.command ? has_command_ended(WNOHANG) : phase == ENDING;
}

/*
 * Sleeps until `deadline_ns` of CLOCK_MONOTONIC, the end of the interval `interval_id`. Reads in
 * between what would wrap or overflow: counters and rings. True if the measurement has ended.
 */
static bool wait_until(struct session *s, uint64_t deadline_ns, uint32_t interval_id)
{
	const bool shown = !opt.command && opt.seconds > SHORT_SECONDS && isatty(STDERR_FILENO);
	const uint64_t period_ns = s->sampler.period_ns ? s->sampler.period_ns : COUNTERS_NS;
	uint64_t now, read_ns = now_ns(CLOCK_MONOTONIC) + period_ns;
	sigset_t before;

	sigprocmask(SIG_BLOCK, &handled, &before);
	while (!has_ended() && (now = now_ns(CLOCK_MONOTONIC)) < deadline_ns) {
		uint64_t sleep_ns = (deadline_ns < read_ns ? deadline_ns : read_ns) - now;

		if (now >= read_ns) {
			bool online[MAX_CPUS] = {};

			read_rings(&s->sampler, interval_id, UINT64_MAX);
			read_wrapping(s, online);
			read_ns = now + period_ns;
			continue;
		}
		if (shown) {
			char left[PROGRESS_COLUMNS];

			FORMAT(left, "%.0f s left", ceil((deadline_ns - now) / 1e9));
			if (tcgetpgrp(STDERR_FILENO) == getpgrp()) /* not in the background */
				show_progress(left);
			if (sleep_ns > NSEC_PER_SEC)
				sleep_ns = NSEC_PER_SEC;
		}
		ppoll(NULL, 0,
		      &(struct timespec) { .tv_sec = sleep_ns / NSEC_PER_SEC,
					   .tv_nsec = sleep_ns % NSEC_PER_SEC },
		      &awake);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	clear_progress();
	return has_ended();
}

/* ==== 14. Profile: the samples of an interval, sorted ==== */

/*
 * Pools: events that the kernel side also charges with the time of events that it cannot trace.
 * Samples divide a pool's time, and the pool keeps the rest. Without hooks EV_OTHER has all time.
 */
static const int pools[] = { EV_OTHER, EV_SOFTIRQ, EV_IO_WORKER };

/* How many samples of a CPU, or of all CPUs, count for each event, stage and so on. */
struct shares {
	uint64_t samples[EV_MAX];
	uint64_t claimed[EV_MAX][EV_MAX]; /* by owner, and the event that told_event() finds */
	uint64_t receiving[EV_MAX];	  /* whose stacks receive packets: see is_receiving() */
	struct share {
		uint64_t self;	/* whose innermost stage is this one */
		uint64_t total; /* that have this stage anywhere in the stack */
	} stages[EV_MAX][STAGES];
	uint64_t activities[EV_MAX][ACTIVITIES];
	uint64_t contexts[EV_MAX][CONTEXTS]; /* what a softirq ran in */
};

/* A stack, address by address, as the kernel side counted it on one CPU. */
struct raw {
	const uint64_t *words; /* in the table: owner, depth and slot; then the addresses */
	uint32_t count;	       /* samples */
	uint16_t cpu;
	uint16_t event; /* that the samples count for: see told_event() */
	uint32_t next;	/* index of the next raw of the same struct stack; 0: there is none */
};

/* All raws that have the same event and the same functions, on any CPU. */
struct stack {
	uint64_t hash;	/* of the event and the functions */
	uint64_t count; /* samples */
	uint32_t first; /* index of its first raw */
};

/* The samples of an interval, and how they are taken. */
struct profile {
	unsigned hz;		   /* 0: there are no samples */
	const char *clock;	   /* name of the perf event */
	int max_depth;		   /* frames that the kernel records of a stack at most */
	bool from_samples[EV_MAX]; /* whether the source of the event is SAMPLED */
	bool knows_not_taken;	   /* false with cycles: a CPU that is slower takes fewer samples */
	/* clear_profile() clears all members from here to `cpu` */
	uint64_t samples;     /* that were taken */
	uint64_t net_samples; /* that count for network events */
	uint64_t lost;	      /* that had no room in the table, or no stack */
	uint64_t not_taken;   /* see count_missed() */
	uint64_t unknown;     /* of net_samples, those whose innermost stage no rule knows */
	uint64_t cut;	      /* of samples, those whose stacks were cut off before the root */
	uint64_t within[EV_MAX][STAGES][STAGES]; /* samples, by stage and the next outer stage */
	uint64_t depth[EV_MAX][STAGES]; /* outer stages of a stage, summed over its samples */
	struct shares all, cpu[MAX_CPUS];
	struct raw *raws; /* raws[0] is not used */
	size_t raw_count, raw_room;
	struct stack *stacks; /* the most sampled first */
	size_t stack_count;
	struct symbols *symbols; /* kept for all intervals; not const: look-ups fill a cache */
};

/* The event that owned the CPU, as the kernel side recorded it. */
static int raw_owner(const struct raw *raw)
{
	return raw->words[0] & 255;
}

static int raw_depth(const struct raw *raw)
{
	_Static_assert(!(MAX_DEPTH & (MAX_DEPTH + 1)), "a mask");
	return raw->words[0] >> 8 & MAX_DEPTH;
}

static void classify_raw(const struct profile *p, const struct raw *raw, struct classified *out)
{
	classify_stack(p->symbols, raw->words + 1, raw_depth(raw), out);
	if (raw_owner(raw) == EV_HARDIRQ)
		cut_at_interrupt(out);
}

/*
 * The event that a sample counts for. An owner that is neither a pool nor idle is certain,
 * since a hook set it. Otherwise the root of the stack decides, if samples tell its event. Any
 * other stack that has a stage of the network counts for net_other.
 */
static int told_event(const struct profile *p, const struct raw *raw, const struct classified *s)
{
	int owner = raw_owner(raw);

	if (owner < EV_IO_WORKER)
		return owner;
	if (p->from_samples[s->event] && s->event < EV_IO_WORKER)
		return s->event;
	if (is_network(s))
		return EV_NET_OTHER;
	if (owner == EV_IO_WORKER || owner == EV_SOFTIRQ)
		return owner;
	if (p->from_samples[s->event] && s->event < EV_OTHER)
		return s->event;
	if ((s->event && s->event != EV_IDLE) ||
	    memchr(s->path, STAGE_interrupt, s->path_length)) /* a top half is not idle time */
		return EV_OTHER;
	return owner == EV_IDLE ? owner : s->event ? EV_IDLE : EV_OTHER;
}

/* Makes a raw of each stack that the tables have of an interval. False: no memory. */
static bool read_tables(struct profile *p, const struct sampler *s, uint32_t interval_id)
{
	p->raw_count = 1; /* index 0 ends the lists */
	for (int cpu = 0; cpu < s->cpus; cpu++) {
		const stack_buf_t *buf = buf_at(s, cpu, interval_id);
		const uint64_t *words = (const uint64_t *)&buf->slots[s->hash_slots];

		if (buf->interval_id != interval_id)
			continue;
		p->lost += buf->full + buf->failed;
		for (uint64_t i = 0; i < buf->used;) {
			struct raw raw = { .words = words + i, .cpu = cpu };

			raw.count = buf->slots[words[i] >> 32 & (s->hash_slots - 1)].count;
			if (!grow((void **)&p->raws, &p->raw_room, p->raw_count, sizeof(raw)))
				return false;
			p->raws[p->raw_count++] = raw;
			i += 1 + raw_depth(&raw);
		}
	}
	return true;
}

/*
 * Adds the samples of a raw to the shares of its CPU, or of all CPUs. EV_IDLE owns samples only
 * without hooks, where EV_OTHER has all time: also that of a softirq that interrupts the idle task.
 */
static void count_shares(struct shares *to, const struct raw *raw, const struct classified *s)
{
	int event = raw->event, owner = raw_owner(raw) == EV_IDLE ? EV_OTHER : raw_owner(raw);

	to->samples[event] += raw->count;
	to->claimed[owner][event] += raw->count;
	if (event >= EV_IO_WORKER) /* not the network's: its stages are not reported */
		return;
	to->receiving[event] += is_receiving(s) ? raw->count : 0;
	to->activities[event][s->activity] += raw->count;
	to->contexts[event][s->context] += raw->count;
	to->stages[event][s->stage].self += raw->count;
	for (int i = 0; i < s->path_length; i++)
		if (!memchr(s->path, s->path[i], i)) /* the stage is not counted yet */
			to->stages[event][s->path[i]].total += raw->count;
}

/* Counts, for each stage of a stack, the next outer stage and the number of outer stages. */
static void count_nesting(struct profile *p, const struct raw *raw, const struct classified *s)
{
	for (int i = 0; i < s->path_length; i++) {
		int stage = s->path[i], outer = i ? s->path[i - 1] : STAGE_NONE;

		if (memchr(s->path, stage, i))
			continue;
		p->depth[raw->event][stage] += (uint64_t)i * raw->count;
		p->within[raw->event][stage][outer] += raw->count;
	}
}

/* For qsort(): the larger number comes first. */
static int larger_first(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static int compare_stacks(const void *a, const void *b)
{
	const struct stack *x = a, *y = b;

	return larger_first(x->count, y->count) ?: larger_first(y->hash, x->hash);
}

static int compare_hashes(const void *a, const void *b)
{
	const struct stack *x = a, *y = b;

	return larger_first(y->hash, x->hash) ?: larger_first(y->first, x->first);
}

/* Joins the stacks that have the same hash, and sorts them: the most sampled comes first. */
static void merge_stacks(struct profile *p)
{
	struct stack *last = p->stacks;

	qsort(p->stacks, p->stack_count, sizeof(*last), compare_hashes);
	for (struct stack *s = last + 1; s < p->stacks + p->stack_count; s++) {
		if (s->hash == last->hash) {
			last->count += s->count;
			p->raws[s->first].next = last->first;
			last->first = s->first;
		} else {
			*++last = *s;
		}
	}
	if (p->stack_count)
		p->stack_count = last + 1 - p->stacks;
	qsort(p->stacks, p->stack_count, sizeof(*last), compare_stacks);
}

/* Classifies all raws, counts their samples and makes the stacks. False: no memory. */
static bool classify_raws(struct profile *p)
{
	struct classified sorted;

	p->stacks = calloc(p->raw_count, sizeof(*p->stacks));
	if (!p->stacks)
		return false;
	for (uint32_t i = 1; i < p->raw_count; i++) {
		struct raw *raw = &p->raws[i];
		struct stack stack = { .count = raw->count, .first = i };

		classify_raw(p, raw, &sorted);
		raw->event = told_event(p, raw, &sorted);
		p->samples += raw->count;
		if (raw->event == EV_OTHER && !sorted.event && raw_depth(raw) >= p->max_depth)
			p->cut += raw->count;
		count_shares(&p->all, raw, &sorted);
		count_shares(&p->cpu[raw->cpu], raw, &sorted);
		if (raw->event >= EV_IO_WORKER)
			continue;
		p->net_samples += raw->count;
		p->unknown += sorted.stage == STAGE_unknown ? raw->count : 0;
		count_nesting(p, raw, &sorted);
		stack.hash = raw->event;
		for (int j = 0; j < sorted.depth; j++)
			stack.hash = add_to_hash(stack.hash, sorted.frames[j]->hash);
		p->stacks[p->stack_count++] = stack;
	}
	merge_stacks(p);
	return true;
}

/* Forgets the samples of an interval. The symbols and the memory of raws[] stay. */
static void clear_profile(struct profile *p)
{
	free(p->stacks);
	p->stacks = NULL;
	p->stack_count = 0;
	memset(&p->samples, 0, offsetof(struct profile, cpu) - offsetof(struct profile, samples));
	for (size_t i = 1; i < p->raw_count; i++)
		memset(&p->cpu[p->raws[i].cpu], 0, sizeof(p->cpu[0]));
	p->raw_count = 0;
}

/* Reads and sorts the samples of an interval that is over. Returns 0, or -1 after a message. */
static int make_profile(struct profile *p, struct sampler *s, uint32_t interval_id)
{
	uint64_t began_ns = now_ns(CLOCK_MONOTONIC);
	int err = 0;

	clear_profile(p);
	p->hz = s->hz;
	p->clock = s->clock;
	p->max_depth = s->max_depth;
	if (!s->hz)
		return 0;
	if (!p->symbols->count)
		err = prepare_classifying(p->symbols, s->kallsyms);
	if (err) {
		message("cannot read /proc/kallsyms: %s", strerror(-err));
	} else if (!read_tables(p, s, interval_id) || !classify_raws(p)) {
		message("cannot sort the stacks: %s", strerror(ENOMEM));
		err = -ENOMEM;
	}
	if (err) {
		clear_profile(p);
		p->hz = 0;
		return -1;
	}
	if (p->cut && p->max_depth < MAX_DEPTH && interval_id == 1)
		message("kernel.perf_event_max_stack is %d: %" PRIu64
			" stacks were cut off, and count as other: set it to %d",
			p->max_depth, p->cut, MAX_DEPTH);
	p->knows_not_taken = !strcmp(p->clock, "cpu-clock");
	if (opt.verbose)
		message("%zu different stacks, %zu by address, sorted in %.3f s", p->stack_count,
			p->raw_count - 1, (now_ns(CLOCK_MONOTONIC) - began_ns) / 1e9);
	return 0;
}

/* A time with its 95 % interval. */
struct estimate {
	uint64_t ns, low_ns, high_ns;
};

/*
 * The time of `part` of `whole` samples, which took `ns` together, with Wilson's 95 % interval
 * (E. B. Wilson, JASA 22, 1927). Without samples it is 0, within 0 and `ns`.
 */
static struct estimate estimate(uint64_t ns, uint64_t part, uint64_t whole)
{
	const double z = 1.959964;
	double n = whole, p = part / n, centre, half;

	if (!whole)
		return (struct estimate) { .high_ns = ns };
	centre = (p + z * z / (2 * n)) / (1 + z * z / n);
	half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
	return (struct estimate) { .ns = ns * p + 0.5,
				   .low_ns = part ? ns * (centre - half) + 0.5 : 0,
				   .high_ns = part < whole ? ns * (centre + half) + 0.5 : ns };
}

/* ==== 15. Results and their arithmetic ==== */

struct event {
	const char *name;
	bool net;					      /* it is a part of `net` */
	enum { UNMEASURED, TRACED, SAMPLED, COUNTED } source; /* COUNTED: by the kernel itself */
	char hook[1024]; /* KIND:TARGET+TARGET... for all hooks; where the kind changes, +KIND: */
	char why[256]; /* of the first hook that is not of the best kind: "not KIND: REASON; ..." */
};

/* A NAPI instance on a CPU, or a sum of several; or a function (see find_pollers()). */
struct queue {
	char name[80]; /* of the device, escaped; or of the function */
	uint32_t id;   /* of the NAPI instance; 0: it has none */
	int cpu;       /* or ALL_CPUS */
	uint64_t ns, polls, packets;
	uint64_t device_ns; /* of all queues of the device, on all CPUs */
};

/* All that a report tells of an interval. */
struct result {
	struct event events[EV_MAX]; /* from EV_NONE + 1 on */
	struct utsname host;
	double time;		    /* Unix seconds at the end of the interval */
	int cpus;		    /* how many were measured */
	struct times all;	    /* sum of all measured CPUs */
	struct times cpu[MAX_CPUS]; /* by id; wall_ns 0: not measured */
	bool no_bpf;		    /* there is no eBPF on this host, or not for this user */
	bool accounted;		    /* all times are from /proc */
	bool exact;		    /* the times in /proc/stat are exact; else they count ticks */
	uint64_t unaccounted_ns;    /* |wall time - columns of /proc/stat|, summed over CPUs */
	long max_backlog, budget, budget_usecs; /* net.core.netdev_...; -1: not known */
	unsigned rx_queues;   /* of the device that fills the busiest CPU; 0: not known */
	bool rps;	      /* RPS is on for one of these rx_queues */
	bool counted[COUNTS]; /* which counts are known; the others are 0 */
	struct queue *queues; /* sorted by order_queues() */
	size_t queue_count, queue_room;
	const char *device_hook; /* traces the polls of devices; NULL: the queues are no devices */
	bool has_pollers;	 /* the queues are functions, and sampled */
	bool has_parts;		 /* parts_ns[] of rx_softirq are traced */
	struct thread *threads;	 /* that ran; the longest time comes first */
	size_t thread_count, thread_room;
	struct process *processes; /* that did something; the longest time comes first */
	size_t process_count, process_room;
	bool has_tasks;			    /* processes were counted (-t) */
	uint64_t tasks_lost, tasks_lost_ns; /* operations without room in netto_tasks */
	double energy_uj;		    /* that the CPU packages used, microjoules */
	bool has_energy;
	uint64_t stolen_ns;   /* by the hypervisor, from all CPUs: part of the interrupted events */
	uint64_t elapsed_ns;  /* the longest time between the marks of a CPU */
	uint64_t residual_ns; /* |wall time - sum of events|, summed over CPUs */
	uint64_t recursion_misses; /* runs of hooks that the kernel skipped */
	bool has_recursion_misses;
	uint64_t user_ns, kernel_ns; /* CPU time of this process */
	struct profile profile;
};

static const char *const sources[] = { "", "traced", "sampled", "accounted" };

/* Says of each event what measures it, and why nothing better does. */
static void describe_events(const struct session *s, struct event events[EV_MAX])
{
	int kinds[EV_MAX] = {}; /* of the last probe named in hook[] of each event */

	for (int i = 0; i < MAX_PROBES; i++) {
		const struct probe *p = &s->probes[i];
		struct event *e = &events[p->event];
		bool changes = p->kind != kinds[p->event], has_why = e->why[0];

		for (int kind = NO_HOOK + 1; kind < KINDS && !has_why && !p->absent; kind++) {
			if (p->why_not[kind])
				APPEND(e->why, "%snot %s: %s", e->why[0] ? "; " : "",
				       hook_names[kind], p->why_not[kind]);
		}
		if (!p->entry)
			continue;
		APPEND(e->hook, "%s%s%s%s", e->hook[0] ? "+" : "",
		       changes ? hook_names[p->kind] : "", changes ? ":" : "", p->target);
		kinds[p->event] = p->kind;
	}
	for (int i = EV_NONE + 1; i < EV_MAX; i++) {
		struct event *e = &events[i];

		e->name = (const char *)s->skel->rodata->events[i].name;
		e->net = s->skel->rodata->events[i].net;
		if (is_traced(s, i) && !needs_samples(s, i))
			e->source = TRACED;
		else if (s->accounted && (i == EV_OTHER || i == EV_IDLE))
			e->source = COUNTED;
		else if (is_sampled(s, i))
			e->source = i == EV_IDLE && !base_kind(s) ? COUNTED : SAMPLED;
		if (!e->hook[0])
			FORMAT(e->hook, "%s%s",
			       e->source == TRACED    ? "absent:"
			       : e->source == COUNTED ? "procfs:stat"
			       : e->source != SAMPLED ? "none:"
			       : s->no_bpf[0]	      ? "perf_ring:"
						      : "perf_event:",
			       e->source == SAMPLED ? s->sampler.clock : "");
	}
}

/* Adds times to a sum. For longest_ns[], the sum has the maximum. */
static void add_times(struct times *into, const struct times *t)
{
	uint64_t *sums = (uint64_t *)into;

	for (unsigned i = 0; i < SUMS; i++)
		sums[i] += ((const uint64_t *)t)[i];
	merge_longest(into->longest_ns, (const __u64 *)t->longest_ns);
}

/*
 * Makes negative times 0. A program reads the clock, and then stores that event A ended and event B
 * began at that time. A mark between the two charges A with time of B: nanoseconds, or milliseconds
 * if a virtual CPU stood still. The next interval takes that time from A and gives it to B. If A's
 * time is negative then, the event with the most time is taken for B and pays: the sum stays.
 */
static void settle_events(uint64_t ns[EV_MAX])
{
	int most = EV_OTHER;
	int64_t owed = 0;

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		if ((int64_t)ns[e] > (int64_t)ns[most])
			most = e;
		if ((int64_t)ns[e] < 0) {
			owed -= ns[e];
			ns[e] = 0;
		}
	}
	ns[most] = subtract(ns[most], owed);
}

/* The times of a CPU from mark `a` to mark `b`. */
static void subtract_times(struct times *t, const struct times *b, const struct times *a)
{
	uint64_t *sums = (uint64_t *)t;

	*t = *b;
	for (unsigned i = 0; i < SUMS; i++)
		sums[i] = subtract(sums[i], ((const uint64_t *)a)[i]);
	for (int i = 0; i < PROCESSED; i++)
		t->counts[i] = (uint32_t)(b->counts[i] - a->counts[i]); /* wrap at 32 bits */
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		t->ns[e] = b->ns[e] - a->ns[e]; /* may be negative until settle_events() */
	settle_events(t->ns);
	if (b->proc_idle_ns < a->proc_idle_ns)
		t->proc_idle_ns = UINT64_MAX;
}

enum { ALL_CPUS = -1 };

/* Whether a CPU was measured; always true of ALL_CPUS. */
static bool is_measured(const struct result *r, int cpu)
{
	return cpu == ALL_CPUS || r->cpu[cpu].wall_ns;
}

static const struct times *times_of(const struct result *r, int cpu)
{
	return cpu == ALL_CPUS ? &r->all : &r->cpu[cpu];
}

static const struct shares *shares_of(const struct result *r, int cpu)
{
	return cpu == ALL_CPUS ? &r->profile.all : &r->profile.cpu[cpu];
}

/* Sums the measured events of `net`. If all times are from /proc, these events have no source. */
static uint64_t sum_net(const struct result *r, const uint64_t values[EV_MAX])
{
	uint64_t sum = 0;

	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		if (r->events[e].net && (r->events[e].source || r->accounted))
			sum += values[e];
	return sum;
}

static double percent(uint64_t part_ns, uint64_t wall_ns)
{
	return wall_ns ? 100.0 * part_ns / wall_ns : 0;
}

/*
 * Copies a name that users choose, as far as there is room. A byte that is not printable ASCII, or
 * has a meaning in CSV, becomes \xNN.
 */
static void escape_name(const char *name, size_t length, char *text, size_t size)
{
	for (size_t i = 0; i < length && name[i] && size > 4; i++) {
		bool plain = name[i] > ' ' && name[i] < 127 && !strchr(",\"\\", name[i]);
		int n = snprintf(text, size, plain ? "%c" : "\\x%02x", (unsigned char)name[i]);

		text += n;
		size -= n;
	}
	*text = 0;
}

/* The number of this process's network namespace, which is an inode; 0: it is not known. */
static uint32_t own_network(void)
{
	struct stat file;

	return stat("/proc/self/ns/net", &file) ? 0 : file.st_ino;
}

/* Names a queue by the device of a place. The last place is for instances that found no place. */
static void name_queue(struct queue *q, const place_t *place, bool is_last, uint32_t network)
{
	escape_name((const char *)place->name, sizeof(place->name), q->name, sizeof(q->name));
	if (!q->name[0])
		FORMAT(q->name, is_last ? "(more)" : "(backlog)");
	else if (network && place->net && place->net != network) /* netto_poll_r knows no net */
		APPEND(q->name, "@%u", place->net);
}

static int compare_queue_names(const void *a, const void *b)
{
	return strcmp(((const struct queue *)a)->name, ((const struct queue *)b)->name);
}

static int compare_queues(const void *a, const void *b)
{
	const struct queue *x = a, *y = b;

	return larger_first(x->device_ns, y->device_ns) ?: compare_queue_names(a, b)
		?: larger_first(x->ns, y->ns) ?: x->cpu - y->cpu;
}

/* Counts the queues from `i` on that are of the same device as queue `i`. */
static size_t queues_of_device(const struct result *r, size_t i)
{
	size_t end = i;

	while (end < r->queue_count && !compare_queue_names(&r->queues[i], &r->queues[end]))
		end++;
	return end - i;
}

/* Sums the `n` queues of a device, from `i` on: those on one CPU, or on ALL_CPUS. */
static struct queue sum_device(const struct result *r, size_t i, size_t n, int cpu)
{
	struct queue sum = { .cpu = cpu };

	FORMAT(sum.name, "%s", r->queues[i].name);
	for (const struct queue *q = &r->queues[i]; q < &r->queues[i + n]; q++) {
		if (cpu != ALL_CPUS && q->cpu != cpu)
			continue;
		sum.ns += q->ns;
		sum.polls += q->polls;
		sum.packets += q->packets;
	}
	return sum;
}

/* Sorts the queues by device: the busiest device and its busiest queue come first. */
static void order_queues(struct result *r)
{
	if (!r->queue_count) /* then there may be no array to sort */
		return;
	qsort(r->queues, r->queue_count, sizeof(*r->queues), compare_queue_names);
	for (size_t i = 0; i < r->queue_count;) {
		size_t n = queues_of_device(r, i);
		uint64_t device_ns = sum_device(r, i, n, ALL_CPUS).ns;

		for (; n; n--)
			r->queues[i++].device_ns = device_ns;
	}
	qsort(r->queues, r->queue_count, sizeof(*r->queues), compare_queues);
}

/* Finds the queues that were polled from mark `a` to mark `b`. */
static void diff_queues(const struct marks *b, const struct marks *a, struct result *r)
{
	uint32_t network = own_network();

	r->queue_count = 0;
	for (int cpu = 0; cpu < MAX_CPUS && a->polled && b->polled; cpu++) {
		for (int i = 0; r->cpu[cpu].wall_ns && i < POLLED_ROOM; i++) {
			const place_t *now = &b->polled[cpu].places[i];
			const place_t *before = &a->polled[cpu].places[i];
			struct queue q = { .id = now->id,
					   .cpu = cpu,
					   .ns = subtract(now->ns, before->ns),
					   .polls = subtract(now->polls, before->polls),
					   .packets = subtract(now->packets, before->packets) };

			if (now->polls == before->polls ||
			    !grow((void **)&r->queues, &r->queue_room, r->queue_count, sizeof(q)))
				continue;
			name_queue(&q, now, i == POLLED_ROOM - 1, network);
			r->queues[r->queue_count++] = q;
		}
	}
	order_queues(r);
}

/* The time of all operations of a process. Its rx_softirq is no operation. */
static uint64_t process_ns(const struct process *p)
{
	return sum_ns(p->did.ns) - p->did.ns[EV_RX_SOFTIRQ];
}

static int compare_process_times(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return larger_first(process_ns(x), process_ns(y))
		?: larger_first(x->did.ns[EV_RX_SOFTIRQ], y->did.ns[EV_RX_SOFTIRQ])
		?: compare_processes(a, b);
}

/* The same process at mark `a`. All its numbers are 0 if it had done nothing by then. */
static const struct process *find_process(const struct marks *a, const struct process *p)
{
	static const struct process none;

	return bsearch(p, a->processes, a->process_count, sizeof(*p), compare_processes) ?: &none;
}

/* Finds the processes that did something from mark `a` to mark `b`. */
static void diff_processes(const struct marks *b, const struct marks *a, struct result *r)
{
	r->process_count = 0;
	for (size_t i = 0; i < b->process_count; i++) {
		struct process p = b->processes[i];
		const struct process *before = find_process(a, &p);
		uint64_t changed = 0;

		for (int e = 0; e < EV_MAX; e++) {
			p.did.ns[e] = subtract(p.did.ns[e], before->did.ns[e]);
			p.did.count[e] = subtract(p.did.count[e], before->did.count[e]);
			changed |= p.did.ns[e] | p.did.count[e];
		}
		if (changed &&
		    grow((void **)&r->processes, &r->process_room, r->process_count, sizeof(p)))
			r->processes[r->process_count++] = p;
	}
	if (r->process_count)
		qsort(r->processes, r->process_count, sizeof(*r->processes), compare_process_times);
}

static int compare_threads(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	return larger_first(x->ns, y->ns) ?: larger_first(y->pid, x->pid);
}

/* Finds the network threads that ran from mark `a` to mark `b`. */
static void diff_threads(const struct marks *b, const struct marks *a, struct result *r)
{
	r->thread_count = 0;
	for (size_t i = 0; i < b->thread_count; i++) {
		struct thread t = b->threads[i];

		for (size_t j = 0; j < a->thread_count; j++)
			if (a->threads[j].pid == t.pid)
				t.ns = subtract(t.ns, a->threads[j].ns);
		if (t.ns && grow((void **)&r->threads, &r->thread_room, r->thread_count, sizeof(t)))
			r->threads[r->thread_count++] = t;
	}
	if (r->thread_count)
		qsort(r->threads, r->thread_count, sizeof(*r->threads), compare_threads);
}

/* Fills in the result of the interval from mark `a` to mark `b`. */
static void subtract_marks(const struct marks *b, const struct marks *a, struct result *r)
{
	bool plugged = false;

	r->cpus = 0;
	r->elapsed_ns = r->residual_ns = 0;
	memset(&r->all, 0, sizeof(r->all));
	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		plugged |= b->cpu[cpu].wall_ns > a->cpu[cpu].wall_ns &&
			   !(a->online[cpu] && b->online[cpu]);
	/* the packets of a CPU that was not online at both marks are not known, nor is the sum */
	for (int i = 0; i < COUNTS; i++)
		r->counted[i] = a->counted[i] && b->counted[i] && (i < PROCESSED || !plugged);
	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct times *t = &r->cpu[cpu];

		if (t->wall_ns)
			memset(t, 0, sizeof(*t));
		if (b->cpu[cpu].wall_ns <= a->cpu[cpu].wall_ns)
			continue;
		subtract_times(t, &b->cpu[cpu], &a->cpu[cpu]);
		for (int i = 0; i < COUNTS; i++)
			t->counts[i] = r->counted[i] ? t->counts[i] : 0;
		r->residual_ns += llabs((int64_t)(t->wall_ns - sum_ns((const __u64 *)t->ns)));
		if (t->wall_ns + t->unseen_ns > r->elapsed_ns)
			r->elapsed_ns = t->wall_ns + t->unseen_ns;
		r->cpus++;
		add_times(&r->all, t);
	}
	r->energy_uj = b->energy_uj - a->energy_uj;
	r->stolen_ns = subtract(b->stolen_ns, a->stolen_ns);
	r->tasks_lost = subtract(b->tasks_lost, a->tasks_lost);
	r->tasks_lost_ns = subtract(b->tasks_lost_ns, a->tasks_lost_ns);
	r->time = b->time;
	r->user_ns = subtract(b->user_ns, a->user_ns);
	r->kernel_ns = subtract(b->kernel_ns, a->kernel_ns);
	r->recursion_misses = subtract(b->recursion_misses, a->recursion_misses);
	r->has_recursion_misses = b->has_recursion_misses;
	diff_queues(b, a, r);
	diff_processes(b, a, r);
	diff_threads(b, a, r);
	r->exact = b->irq_ns;
}

/*
 * If netto_tasks is more than half full, deletes the processes that did nothing since mark `a`:
 * from netto_tasks and from mark `b`. A process that comes back begins with 0.
 */
static void forget_processes(const struct session *s, struct marks *b, const struct marks *a)
{
	size_t kept = 0;

	if (b->process_count <= bpf_map__max_entries(s->skel->maps.netto_tasks) / 2)
		return;
	for (size_t i = 0; i < b->process_count; i++) {
		const struct process *p = &b->processes[i], *before = find_process(a, p);

		if (!memcmp(&before->did, &p->did, sizeof(p->did)) &&
		    !bpf_map_delete_elem(bpf_map__fd(s->skel->maps.netto_tasks), &p->pid))
			continue;
		b->processes[kept++] = *p;
	}
	b->process_count = kept;
}

/* Counts the samples of a pool, but for those of events whose time is from /proc. */
static uint64_t pool_samples(const struct result *r, const struct shares *s, int pool)
{
	uint64_t samples = 0;

	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		if (r->events[e].source != COUNTED)
			samples += s->claimed[pool][e];
	return samples;
}

/* The time of an event, with its interval. EV_NONE stands for `net`. */
static struct estimate event_time(const struct result *r, const struct times *t, int event)
{
	uint64_t ns = event ? t->ns[event] : sum_net(r, t->ns);

	return (struct estimate) { ns, ns - fmin(sqrt(t->below[event]), ns),
				   ns + sqrt(t->above[event]) };
}

/* Adds the error of a part of an event's time. Errors of parts are independent: squares add up. */
static void add_interval(struct times *t, int event, struct estimate e)
{
	t->below[event] += pow((double)e.ns - e.low_ns, 2);
	t->above[event] += pow((double)e.high_ns - e.ns, 2);
}

/* Moves time from one event to another, as far as there is any. */
static void move_time(struct times *t, int from, int to, uint64_t ns)
{
	if (ns > t->ns[from])
		ns = t->ns[from];
	t->ns[from] -= ns;
	t->ns[to] += ns;
}

/* Divides the time of a pool among the events that its samples tell. The pool keeps the rest. */
static void share_out_pool(const struct result *r, struct times *t, const struct shares *s,
			   int pool)
{
	uint64_t whole_ns = t->ns[pool], net = 0, samples = pool_samples(r, s, pool);

	for (int i = EV_NONE + 1; i < EV_MAX; i++) {
		struct estimate e = estimate(whole_ns, s->claimed[pool][i], samples);

		if (r->events[i].source == COUNTED)
			continue;
		if (!samples && i == pool)
			e.ns = whole_ns; /* the pool keeps all, and its interval begins at 0 */
		if (r->events[i].source == SAMPLED || i == pool)
			add_interval(t, i, e);
		net += r->events[i].net ? s->claimed[pool][i] : 0;
		if (i != pool)
			move_time(t, pool, i, e.ns);
	}
	add_interval(t, EV_NONE, estimate(whole_ns, net, samples));
}

/*
 * Divides the time of a CPU by samples. In sample mode idle time is from /proc/stat, since an idle
 * CPU of a virtual machine often takes its samples late. If /proc/stat does not tell idle time,
 * samples do.
 */
static void share_out_cpu(const struct result *r, struct times *t, const struct shares *s)
{
	uint64_t idle = s->samples[EV_IDLE], idle_ns = t->proc_idle_ns;

	if (idle_ns == UINT64_MAX)
		idle_ns = estimate(t->ns[EV_OTHER], idle, idle + pool_samples(r, s, EV_OTHER)).ns;
	if (r->events[EV_IDLE].source == COUNTED)
		move_time(t, EV_OTHER, EV_IDLE, idle_ns);
	for (unsigned i = 0; i < ARRAY_SIZE(pools); i++)
		if (r->events[pools[i]].source == TRACED || pools[i] == EV_OTHER)
			share_out_pool(r, t, s, pools[i]);
}

/* Adds the errors of times that the kernel counts in ticks: each tick is a sample. */
static void estimate_by_ticks(const struct result *r, struct times *t)
{
	static const int by_ticks[] = { EV_NONE, EV_RX_SOFTIRQ, EV_OTHER, EV_IDLE };
	const uint64_t tick_ns = NSEC_PER_SEC / sysconf(_SC_CLK_TCK);

	for (unsigned i = 0; i < ARRAY_SIZE(by_ticks) && !r->exact; i++) {
		uint64_t ns = event_time(r, t, by_ticks[i]).ns;
		struct estimate e = estimate(t->wall_ns, ns / tick_ns, t->wall_ns / tick_ns);

		e = (struct estimate) { ns, fmin(e.low_ns, ns), fmax(e.high_ns, ns) };
		add_interval(t, by_ticks[i], e);
	}
}

/* The time of network threads outside softirqs that ran last on a CPU, or on ALL_CPUS. */
static uint64_t thread_ns(const struct result *r, int cpu)
{
	uint64_t sum = 0;

	for (const struct thread *t = r->threads; t < r->threads + r->thread_count; t++)
		sum += t->accounted && (cpu == ALL_CPUS || t->cpu == cpu) ? t->ns : 0;
	return sum;
}

/*
 * Divides the time of a CPU by the kernel's own accounts. /proc/stat has one time for all softirqs,
 * which counts as rx_softirq: so `net` is an upper bound. A thread counts where it ran last, but it
 * may have run on other CPUs, too: it gets no idle time.
 */
static void account_cpu(struct result *r, int cpu)
{
	struct times *t = &r->cpu[cpu];

	memset(t->ns, 0, sizeof(t->ns));
	t->ns[EV_OTHER] = t->wall_ns;
	move_time(t, EV_OTHER, EV_RX_SOFTIRQ, t->soft_ns);
	move_time(t, EV_OTHER, EV_IDLE, t->proc_idle_ns == UINT64_MAX ? 0 : t->proc_idle_ns);
	move_time(t, EV_OTHER, EV_NAPI_THREAD, thread_ns(r, cpu));
	estimate_by_ticks(r, t);
	r->unaccounted_ns += llabs((int64_t)(t->accounted_ns - t->wall_ns));
}

/* Divides time that hooks do not tell, by samples or by /proc. Then sums up all CPUs again. */
static void share_out(struct result *r)
{
	if (!r->accounted && r->events[EV_NET_OTHER].source != SAMPLED)
		return;
	memset(r->all.ns, 0, sizeof(r->all.ns));
	r->unaccounted_ns = 0;
	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		struct times *t = &r->cpu[cpu];

		if (!t->wall_ns)
			continue;
		if (r->accounted)
			account_cpu(r, cpu);
		else
			share_out_cpu(r, t, &r->profile.cpu[cpu]);
		for (int e = EV_NONE; e < EV_MAX; e++) {
			r->all.ns[e] += t->ns[e];
			if (!r->accounted)
				add_interval(&r->all, e, event_time(r, t, e));
		}
	}
	if (!r->accounted)
		return;
	/* what a thread ran on other CPUs than its last one is in `other` there */
	move_time(&r->all, EV_OTHER, EV_NAPI_THREAD,
		  subtract(thread_ns(r, ALL_CPUS), r->all.ns[EV_NAPI_THREAD]));
	estimate_by_ticks(r, &r->all);
}

/* Adds time to the queue that stands for the function `name` on a CPU. */
static void add_poller(struct result *r, const char *name, int cpu, uint64_t ns)
{
	struct queue *q = r->queues;

	while (q < r->queues + r->queue_count && (q->cpu != cpu || strcmp(q->name, name)))
		q++;
	if (q == r->queues + r->queue_count) {
		if (!grow((void **)&r->queues, &r->queue_room, r->queue_count, sizeof(*q)))
			return;
		q = &r->queues[r->queue_count++];
		*q = (struct queue) { .cpu = cpu };
		FORMAT(q->name, "%s", name);
	}
	q->ns += ns;
}

/*
 * If hooks do not tell which devices are polled, lists the functions that NAPI calls instead. Each
 * function has the time of its samples. Functions that are no device's (NAPI's own helpers, the
 * core, tracing) are left out.
 */
static void find_pollers(struct result *r)
{
	const struct profile *p = &r->profile;

	if (r->device_hook || !p->hz)
		return;
	r->has_pollers = true;
	r->queue_count = 0;
	for (size_t i = 1; i < p->raw_count; i++) {
		const struct raw *raw = &p->raws[i];
		const int event = raw->event, cpu = raw->cpu;
		char name[sizeof(r->queues->name)];
		const struct symbol *called;
		struct classified s;
		int k = 1;

		if (event != EV_RX_SOFTIRQ && event != EV_NAPI_THREAD)
			continue;
		classify_raw(p, raw, &s);
		while (k < s.depth && s.frames[k]->calls != STAGE_driver)
			k++;
		called = s.frames[k - 1];
		if (k >= s.depth || called->activity || called->helper ||
		    called->stage == STAGE_core || called->stage == STAGE_tracing)
			continue;
		FORMAT(name, "%.71s()", name_of(p->symbols, called));
		add_poller(r, name, cpu,
			   (double)r->cpu[cpu].ns[event] * raw->count / p->cpu[cpu].samples[event]);
	}
	order_queues(r);
}

/* Counts the samples that were due and not taken. Idle time, not always sampled, is left out. */
static void count_missed(struct result *r)
{
	struct profile *p = &r->profile;
	double due = 0;

	for (int cpu = 0; p->hz && cpu < MAX_CPUS; cpu++)
		for (int e = EV_NONE + 1; e < EV_MAX; e++)
			if (r->events[e].source && e != EV_IDLE)
				due += (double)r->cpu[cpu].ns[e] /
				       sample_period(NSEC_PER_SEC / p->hz, cpu);
	p->not_taken = fdim(due, p->samples - p->all.samples[EV_IDLE] + p->lost);
}

/* The CPU that spends the largest part of its time in `net`. */
struct busiest {
	int cpu;      /* -1: no CPU has any network time */
	double net;   /* percent of its time */
	int cpus;     /* how many CPUs have network time */
	double ratio; /* its net / mean net of these CPUs */
	double rate;  /* packets that it processed, a second; 0: none, or not known */
	double full;  /* packets a second if it had no idle time: rate * (net + idle) / net */
};

static struct busiest find_busiest(const struct result *r)
{
	struct busiest b = { .cpu = -1 };
	double sum = 0;

	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		const struct times *t = &r->cpu[cpu];
		uint64_t net_ns = sum_net(r, t->ns);
		double net = percent(net_ns, t->wall_ns);

		b.cpus += net > 0;
		sum += net;
		if (net <= b.net)
			continue;
		b.cpu = cpu;
		b.net = net;
		b.rate = (double)t->counts[PROCESSED] * NSEC_PER_SEC / t->wall_ns;
		b.full = b.rate * (net_ns + t->ns[EV_IDLE]) / net_ns;
	}
	if (b.cpus)
		b.ratio = b.net / (sum / b.cpus);
	return b;
}

/* The mean power of the CPU packages, watts. */
static double power(const struct result *r)
{
	return r->energy_uj / 1e6 / (r->elapsed_ns / 1e9);
}

/* Watts of `net`: power() times the share of `net` in all CPU time. */
static double net_power(const struct result *r)
{
	return power(r) * percent(sum_net(r, r->all.ns), r->all.wall_ns) / 100;
}

/*
 * The time of `part` of an event's samples. If samples also tell the time of the event, the
 * interval allows for the error of both.
 */
static struct estimate estimate_part(const struct result *r, int cpu, int event, uint64_t part)
{
	const struct times *t = times_of(r, cpu);
	const struct shares *s = shares_of(r, cpu);
	uint64_t samples = s->samples[event];
	/* all samples that could be of the event: of the pools, and those that its hooks told */
	uint64_t whole = pool_samples(r, s, EV_OTHER) + pool_samples(r, s, EV_SOFTIRQ) + samples -
			 s->claimed[EV_OTHER][event] - s->claimed[EV_SOFTIRQ][event];
	struct estimate e;

	if (r->events[event].source != SAMPLED || !samples)
		return estimate(t->ns[event], part, samples);
	e = estimate((double)t->ns[event] * whole / samples, part, whole);
	e.high_ns = fmin(e.high_ns, event_time(r, t, event).high_ns); /* that of the whole event */
	return e;
}

/*
 * The time in which packets are received. Of net_worker (writers to tun) and net_other it has the
 * part whose samples receive. *sampled_ns is the part of the result that only samples tell.
 */
static struct estimate estimate_receiving(const struct result *r, int cpu, uint64_t *sampled_ns)
{
	const struct times *t = times_of(r, cpu);
	const struct shares *s = shares_of(r, cpu);
	struct estimate sum = {};

	*sampled_ns = 0;
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		struct estimate part = event_time(r, t, e);
		bool shared = e == EV_NET_WORKER || e == EV_NET_OTHER;

		if ((!r->events[e].source && !r->accounted) || !(shared || event_is(e, RECEIVES)))
			continue;
		if (shared)
			part = estimate_part(r, cpu, e, s->receiving[e]);
		if (shared || r->events[e].source == SAMPLED)
			*sampled_ns += part.ns;
		sum.ns += part.ns;
		sum.low_ns += part.low_ns;
		sum.high_ns += part.high_ns;
	}
	return sum;
}

/* Whether hooks tell the time of a softirq in a context. */
static bool is_context_traced(const struct result *r, int event, int context)
{
	return r->has_parts && event == EV_RX_SOFTIRQ &&
	       (context == CONTEXT_IDLE || context == CONTEXT_KSOFTIRQD);
}

/*
 * The time of a softirq in a context. If hooks tell the time in idle tasks and ksoftirqd, samples
 * divide only the rest.
 */
static struct estimate estimate_context(const struct result *r, int cpu, int event, int context)
{
	const uint64_t *counts = shares_of(r, cpu)->contexts[event],
		       *parts_ns = times_of(r, cpu)->parts_ns;
	uint64_t ns, samples;

	if (is_context_traced(r, event, context))
		return (struct estimate) {
			.ns = parts_ns[context == CONTEXT_IDLE ? PART_IDLE : PART_KSOFTIRQD],
		};
	if (!r->has_parts || event != EV_RX_SOFTIRQ)
		return estimate_part(r, cpu, event, counts[context]);
	ns = subtract(times_of(r, cpu)->ns[event], parts_ns[PART_IDLE] + parts_ns[PART_KSOFTIRQD]);
	samples = counts[CONTEXT_UNKNOWN] + counts[CONTEXT_IRQ_EXIT] + counts[CONTEXT_BH_ENABLE];
	if (!samples && context == CONTEXT_UNKNOWN)
		return (struct estimate) { .ns = ns, .high_ns = ns };
	return estimate(ns, counts[context], samples);
}

/* ==== 16. Printing text: what both reports have, and the long one ==== */

/* These limit the short report, which shows the stages of an event from MIN_SAMPLES samples on. */
enum { WIDTH = 79, HEIGHT = 45, TOP_CPUS = 8, MIN_SAMPLES = 100 };

static unsigned stacks_wanted(void)
{
	return opt.stacks != UINT_MAX ? opt.stacks : opt.csv || opt.full ? 10 : 3;
}

/* An item of a list that is sorted by `value`, the largest first. */
struct ranked {
	int id; /* of a CPU, an event or a stage */
	double value;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->value != y->value ? (x->value < y->value ? 1 : -1) : x->id - y->id;
}

/* True if samples measure an event of `net` that hooks can measure: all but net_other. */
static bool is_net_sampled(const struct result *r)
{
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		if (r->events[e].net && e != EV_NET_OTHER && r->events[e].source == SAMPLED)
			return true;
	return false;
}

static const char *describe_mode(const struct result *r, const char *accounted)
{
	return r->accounted				   ? accounted
	       : r->events[EV_RX_SOFTIRQ].source != TRACED ? "sampled"
	       : is_net_sampled(r)			   ? "traced and sampled"
							   : "traced";
}

/* The time of the sampled events of `net`, which share_out() took from the pools. */
static uint64_t sampled_net_ns(const struct result *r, const struct times *t)
{
	uint64_t sum = 0;

	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		if (r->events[e].net && r->events[e].source == SAMPLED)
			sum += t->ns[e];
	return sum;
}

/* Marks a time with `~` if its sampled part does not round to 0.0 % of wall time. */
static const char *sampled_mark(uint64_t sampled_ns, uint64_t wall_ns)
{
	return percent(sampled_ns, wall_ns) >= 0.05 ? "~" : "";
}

static const char *net_mark(const struct result *r, const struct times *t)
{
	return r->events[EV_RX_SOFTIRQ].source == SAMPLED
		       ? "~"
		       : sampled_mark(sampled_net_ns(r, t), t->wall_ns);
}

/* Marks a time per packet with `~` if all of it is sampled, or a part of `least_ns` or more. */
static const char *packet_mark(const struct result *r, uint64_t sampled_ns, double least_ns)
{
	return r->events[EV_RX_SOFTIRQ].source == SAMPLED || sampled_ns >= least_ns ? "~" : "";
}

static double net_percent(const struct result *r, const struct times *t)
{
	return percent(sum_net(r, t->ns), t->wall_ns);
}

static double per_second(const struct result *r, uint64_t count)
{
	return r->elapsed_ns ? (double)count * NSEC_PER_SEC / r->elapsed_ns : 0;
}

/* Writes a number as 1,402,331. */
static const char *group_digits(double number, char text[32])
{
	snprintf(text, 32, "%.0f", number);
	for (int i = (int)strlen(text) - 3; i > 0 && strlen(text) < 31; i -= 3) {
		memmove(text + i + 1, text + i, strlen(text + i) + 1);
		text[i] = ',';
	}
	return text;
}

/* Prints a space and a cell of a table. The cell is "-" if its value is not known. */
static __attribute__((format(printf, 4, 5))) void print_cell(FILE *f, int width, bool known,
							     const char *format, ...)
{
	char text[32] = "-";
	va_list args;

	va_start(args, format);
	if (known)
		vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(f, " %*s", width, text);
}

/* The next call overwrites the text. */
static const char *cpu_name(int cpu)
{
	static char name[12];

	FORMAT(name, cpu == ALL_CPUS ? "all" : "%d", cpu);
	return name;
}

static void print_table_row(FILE *f, const struct result *r, int cpu)
{
	const struct times *t = times_of(r, cpu);
	const int decimals = opt.full ? 2 : 1;

	fprintf(f, "%4s", cpu_name(cpu));
	print_cell(f, 6, true, "%s%.*f", net_mark(r, t), decimals, net_percent(r, t));
	for (int i = 0; i < TABLE_COLUMNS; i++) {
		uint64_t ns = 0, sampled_ns = 0;
		bool measured = false, traced = false;

		for (int e = EV_NONE + 1; e < EV_MAX; e++) {
			if (event_kinds[e].column != i || !r->events[e].source)
				continue;
			measured = true;
			traced |= r->events[e].source != SAMPLED;
			ns += t->ns[e];
			sampled_ns += r->events[e].source == SAMPLED ? t->ns[e]
				      : e == EV_OTHER		     ? sampled_net_ns(r, t)
								     : 0;
		}
		print_cell(f, 6, measured, "%s%.*f",
			   !traced ? "~" : sampled_mark(sampled_ns, t->wall_ns), decimals,
			   percent(ns, t->wall_ns));
	}
	fputc('\n', f);
}

/*
 * Prints the row of all CPUs, and a row of each. The short report has the TOP_CPUS with the most
 * `net`, and one line for the others. If there is only one CPU, the row of all is enough for it.
 */
static void print_table(FILE *f, const struct result *r)
{
	struct ranked cpus[MAX_CPUS];
	int count = 0;

	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		if (is_measured(r, cpu))
			cpus[count++] = (struct ranked) { cpu, net_percent(r, &r->cpu[cpu]) };
	if (!opt.full)
		qsort(cpus, count, sizeof(*cpus), compare_ranked);
	fputs("\n CPU    net", f);
	for (int i = 0; i < TABLE_COLUMNS; i++)
		fprintf(f, " %6s", column_names[i]);
	fputc('\n', f);
	print_table_row(f, r, ALL_CPUS);
	for (int i = 0; i < count; i++)
		if (opt.full || (i < TOP_CPUS && count > 1))
			print_table_row(f, r, cpus[i].id);
	if (!opt.full && count > TOP_CPUS)
		fprintf(f, "%7d other%s: %.1f to %.1f %% net\n", count - TOP_CPUS,
			count == TOP_CPUS + 1 ? "" : "s", cpus[count - 1].value,
			cpus[TOP_CPUS].value);
}

/* Writes a stack as flamegraph.pl reads it, the root first. The next call overwrites the text. */
static const char *fold_stack(const struct result *r, const struct stack *stack)
{
	static char text[MAX_DEPTH * 520]; /* the kernel's names have 511 characters at most */
	const struct raw *raw = &r->profile.raws[stack->first];
	struct classified s;

	classify_raw(&r->profile, raw, &s);
	FORMAT(text, "%s", r->events[raw->event].name);
	for (int i = s.depth - 1; i >= 0; i--)
		APPEND(text, ";%s", name_of(r->profile.symbols, s.frames[i]));
	return text;
}

/* Prints each stack on a line, with the number of its samples. */
static void print_folded(FILE *f, const struct result *r)
{
	for (size_t i = 0; i < r->profile.stack_count; i++)
		fprintf(f, "%s %" PRIu64 "\n", fold_stack(r, &r->profile.stacks[i]),
			r->profile.stacks[i].count);
}

/*
 * The parent of a stage is the stage directly around it in most samples, or STAGE_NONE. A parent
 * must lie nearer to the root on average, so that no stage becomes its own ancestor.
 */
static void find_parents(const struct profile *p, int event, int parents[STAGES])
{
	double depth[STAGES] = {};

	for (int i = 0; i < STAGES; i++)
		if (p->all.stages[event][i].total)
			depth[i] = (double)p->depth[event][i] / p->all.stages[event][i].total;
	for (int i = 0; i < STAGES; i++) {
		const uint64_t *within = p->within[event][i];

		parents[i] = STAGE_NONE;
		for (int j = STAGE_NONE + 1; j < STAGES; j++)
			if (depth[j] < depth[i] && within[j] > within[parents[i]])
				parents[i] = j;
	}
}

/* Half the width of the 95 % interval of `part` of `samples`, in percent of `samples`. */
static double half_interval(uint64_t part, uint64_t samples)
{
	struct estimate e = estimate(1000000000, part, samples);

	return (e.high_ns - e.low_ns) / 2e7;
}

/* Prints a stage, and indented below it the stages within it, the most sampled first. */
static void print_stage(FILE *f, const struct result *r, int event, const int parents[STAGES],
			int stage, int depth)
{
	const struct share *shares = r->profile.all.stages[event];
	const uint64_t samples = r->profile.all.samples[event], packets = r->all.counts[PROCESSED],
		       self = shares[stage].self;
	struct ranked within[STAGES];
	int count = 0;

	fprintf(f, "%7.2f %6.2f %6.2f", 100.0 * self / samples,
		100.0 * shares[stage].total / samples, half_interval(self, samples));
	if (event_is(event, RECEIVES) && packets)
		fprintf(f, " %9.1f", (double)r->all.ns[event] * self / samples / packets);
	fprintf(f, "  %*s%s\n", 2 * depth, "", stages[stage].name);
	for (int i = STAGE_NONE + 1; i < STAGES; i++)
		if (parents[i] == stage && shares[i].total)
			within[count++] = (struct ranked) { i, shares[i].total };
	qsort(within, count, sizeof(*within), compare_ranked);
	for (int i = 0; i < count; i++)
		print_stage(f, r, event, parents, within[i].id, depth + 1);
}

/* Prints a line of all parts that are not 0, in percent of `whole`. The line begins with `what`. */
static void print_parts(FILE *f, const char *what, const struct name_list *lists,
			const uint64_t *parts, int count, uint64_t whole)
{
	const char *before = what;

	for (int i = 0; i < count; i++) {
		if (!parts[i])
			continue;
		fprintf(f, "%s%s %.2f", before, lists[i].name, 100.0 * parts[i] / whole);
		before = ", ";
	}
	if (before != what)
		fputc('\n', f);
}

/* Prints the stages, contexts and activities of each event of `net` that has samples. */
static void print_stages(FILE *f, const struct result *r)
{
	const struct profile *p = &r->profile;

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		uint64_t contexts_ns[CONTEXTS] = {};
		int parents[STAGES];

		if (!r->events[e].net || !p->all.samples[e])
			continue;
		fprintf(f, "\n%s: %.2f %% of all CPUs; in percent of its %" PRIu64 " samples\n",
			r->events[e].name, percent(r->all.ns[e], r->all.wall_ns),
			p->all.samples[e]);
		fprintf(f, "   self  total    +/-%s  stage\n",
			event_is(e, RECEIVES) && r->all.counts[PROCESSED] ? " ns/packet" : "");
		find_parents(p, e, parents);
		for (int i = STAGE_NONE + 1; i < STAGES; i++)
			if (parents[i] == STAGE_NONE && p->all.stages[e][i].total)
				print_stage(f, r, e, parents, i, 0);
		for (int i = 0; i < CONTEXTS && event_is(e, HAS_CONTEXTS); i++)
			contexts_ns[i] = estimate_context(r, ALL_CPUS, e, i).ns;
		print_parts(f, "  context: ", contexts, contexts_ns, CONTEXTS, r->all.ns[e]);
		print_parts(f, "  activity: ", &activities[1], &p->all.activities[e][1],
			    ACTIVITIES - 1, p->all.samples[e]);
	}
}

/* Prints all functions of a stack, the leaf first, on as many lines as they need. */
static void print_stack(FILE *f, const struct profile *p, const struct classified *s)
{
	size_t column = 4;

	fputs("   ", f);
	for (int i = 0; i < s->depth; i++) {
		const char *name = name_of(p->symbols, s->frames[i]);

		if (column + strlen(name) > 96) {
			fputs("\n   ", f);
			column = 4;
		}
		column += fprintf(f, " %s%s", name, i + 1 < s->depth ? " <" : "");
	}
	fputc('\n', f);
}

/* Prints the most sampled stacks. The short report cuts each of them off at the end of a line. */
static void print_stacks(FILE *f, const struct result *r, size_t rows)
{
	const struct profile *p = &r->profile;

	for (size_t i = 0; i < p->stack_count && i < rows && i < stacks_wanted(); i++) {
		const struct stack *stack = &p->stacks[i];
		const char *event = r->events[p->raws[stack->first].event].name;
		const double part = 100.0 * stack->count / p->net_samples;
		char cpus[256], line[MAX_DEPTH * 64];
		bool seen[MAX_CPUS + 1] = {}; /* the CPUs on which the stack was sampled */
		struct classified s;

		classify_raw(p, &p->raws[stack->first], &s);
		for (uint32_t j = stack->first; j; j = p->raws[j].next)
			seen[p->raws[j].cpu] = true;
		format_cpus(seen, cpus, opt.full ? sizeof(cpus) : 13);
		if (opt.full || !i)
			fputc('\n', f);
		if (opt.full) {
			fprintf(f, "%.2f %%, %" PRIu64 " of the samples, in %s on CPU %s\n", part,
				stack->count, event, cpus);
			print_stack(f, p, &s);
			continue;
		}
		FORMAT(line, "%.1f %% of samples, %s on CPU %s:", part, event, cpus);
		for (int j = 0; j < s.depth; j++)
			APPEND(line, "%s %s", j ? " <" : "", name_of(p->symbols, s.frames[j]));
		if (strlen(line) > WIDTH)
			strcpy(line + WIDTH - 2, "..");
		fprintf(f, "%s\n", line);
	}
}

/* Prints the counts of each CPU that had packets, and its time of reception divided by them. */
static void print_packets(FILE *f, const struct result *r)
{
	if (!r->counted[PROCESSED])
		return;
	fputs("\npackets", f);
	for (int i = PROCESSED; i < COUNTS; i++)
		fprintf(f, " %11s", proc_counters[i].name);
	fputs(" ns/packet\n", f);
	for (int cpu = ALL_CPUS; cpu < MAX_CPUS; cpu++) {
		const uint64_t *counts = times_of(r, cpu)->counts, packets = counts[PROCESSED];
		uint64_t sampled_ns;
		struct estimate e = estimate_receiving(r, cpu, &sampled_ns);

		if (cpu != ALL_CPUS &&
		    !(counts[PROCESSED] | counts[DROPPED] | counts[SQUEEZED] | counts[RPS]))
			continue;
		fprintf(f, "%7s", cpu_name(cpu));
		for (int i = PROCESSED; i < COUNTS; i++)
			print_cell(f, 11, r->counted[i], "%" PRIu64, counts[i]);
		print_cell(f, 0, packets, "%s%.1f", packet_mark(r, sampled_ns, 0.05 * packets),
			   (double)e.ns / packets);
		fputc('\n', f);
	}
}

static void print_busiest(FILE *f, const struct result *r)
{
	struct busiest b = find_busiest(r);

	if (b.cpu < 0)
		return;
	fprintf(f, "\nbusiest: CPU %d, net %s%.2f %%, %.2f times the mean of %d CPU%s", b.cpu,
		net_mark(r, &r->cpu[b.cpu]), b.net, b.ratio, b.cpus, b.cpus == 1 ? "" : "s");
	if (b.rate > 0)
		fprintf(f, "; %.0f packets/s, full at %.0f (extrapolated from today's cost)",
			b.rate, b.full);
	fputc('\n', f);
}

static void print_queue(FILE *f, const struct result *r, const char *name, const struct queue *q)
{
	fprintf(f, "%7.2f", percent(q->ns, times_of(r, q->cpu)->wall_ns));
	print_cell(f, 11, q->polls, "%" PRIu64, q->polls);
	print_cell(f, 11, q->polls, "%" PRIu64, q->packets);
	print_cell(f, 8, q->polls, "%.2f", (double)q->packets / q->polls);
	fprintf(f, " %4s  %s%s\n", cpu_name(q->cpu), q->polls ? "" : "~", name);
}

/* Prints a device and its `n` queues, from queues[i] on. A poller is a function without queues. */
static void print_queues(FILE *f, const struct result *r, size_t i, size_t n)
{
	const struct queue sum = sum_device(r, i, n, ALL_CPUS);
	char name[32];

	print_queue(f, r, sum.name, &sum);
	for (size_t j = i; j < i + n && j < i + MAX_DEVICES && !r->has_pollers; j++) {
		FORMAT(name, r->queues[j].id ? "  napi %u" : "  napi", r->queues[j].id);
		print_queue(f, r, name, &r->queues[j]);
	}
	if (n > MAX_DEVICES && !r->has_pollers)
		fprintf(f, "%46s  and %zu more\n", "", n - MAX_DEVICES);
}

/* Prints a device on one line, with its busiest queue. */
static void print_device(FILE *f, const struct result *r, size_t i, size_t n)
{
	const struct queue *q = &r->queues[i], sum = sum_device(r, i, n, ALL_CPUS);
	char rate[32], cpu[32], name[128];

	FORMAT(cpu, "CPU %d, %.1f %%", q->cpu, percent(q->ns, r->cpu[q->cpu].wall_ns));
	FORMAT(name, q->id && n > 1 ? "%s%s, queue %u" : "%s%s", sum.polls ? "" : "~", q->name,
	       q->id);
	fprintf(f, "%7.1f", percent(sum.ns, r->all.wall_ns));
	print_cell(f, 10, sum.polls, "%s", group_digits(per_second(r, sum.packets), rate));
	print_cell(f, 9, sum.polls, "%.1f", (double)sum.packets / sum.polls);
	fprintf(f, "  %-16s  %.*s\n", cpu, WIDTH - 48, name);
}

/* Prints the devices whose polls took most time, at most `rows` of them. */
static void print_devices(FILE *f, const struct result *r, size_t rows)
{
	size_t devices = 0;

	if (!r->queue_count || !rows)
		return;
	fputs(opt.full ? "\n  % CPU       polls     packets per poll  CPU  device\n"
		       : "\n  % CPU  packets/s  per poll  busiest on        device\n",
	      f);
	for (size_t i = 0, n; i < r->queue_count; i += n) {
		n = queues_of_device(r, i);
		if (devices++ < rows)
			(opt.full ? print_queues : print_device)(f, r, i, n);
	}
	if (devices > rows)
		fprintf(f, opt.full ? "%46s and %zu more devices\n" : "%s%7zu others\n", "",
			devices - rows);
}

/* Escapes the name. The next call overwrites the text. */
static const char *thread_name(const struct thread *t)
{
	static char name[4 * sizeof(t->name)];

	escape_name(t->name, sizeof(t->name), name, sizeof(name));
	return name;
}

/* Writes a process as NAME:PID, the name escaped. The next call overwrites the text. */
static const char *process_name(const struct process *p)
{
	static char text[100];
	char name[4 * sizeof(p->did.name) + 1];

	escape_name((const char *)p->did.name, sizeof(p->did.name), name, sizeof(name));
	FORMAT(text, "%s:%u", p->pid ? name : "idle", p->pid);
	return text;
}

/* Prints the processes whose operations took most time, in percent of all CPUs' time. */
static void print_tasks(FILE *f, const struct result *r)
{
	static const struct {
		int event;
		const char *title;
	} columns[] = {
		{ EV_RECV, "recv" },	  { EV_SEND, "send" },	     { EV_CONN, "conn" },
		{ EV_BUSY_POLL, "poll" }, { EV_NET_WORKER, "work" }, { EV_RX_SOFTIRQ, "rx" }
	};
	enum { COLUMNS = ARRAY_SIZE(columns) };
	const int digits = opt.full ? 2 : 1, cell = 4 + digits, calls_width = opt.full ? 11 : 9;
	const int room = opt.full ? INT_MAX : WIDTH - (1 + COLUMNS) * (1 + cell) - calls_width - 3;

	if (!r->has_tasks)
		return;
	fprintf(f, "\n %*s", cell, "% all");
	for (int i = 0; i < COLUMNS; i++)
		fprintf(f, " %*s", cell, columns[i].title);
	fprintf(f, " %*s  task: %zu in all\n", calls_width, "calls", r->process_count);
	for (size_t i = 0; i < r->process_count && i < opt.tasks; i++) {
		const struct process *p = &r->processes[i];
		uint64_t calls = 0;

		print_cell(f, cell, r->events[EV_RECV].source == TRACED, "%.*f", digits,
			   percent(process_ns(p), r->all.wall_ns));
		for (int j = 0; j < COLUMNS; j++) {
			int e = columns[j].event;

			print_cell(f, cell, r->events[e].source == TRACED, "%.*f", digits,
				   percent(p->did.ns[e], r->all.wall_ns));
			calls += e == EV_RX_SOFTIRQ ? 0 : p->did.count[e];
		}
		fprintf(f, " %*" PRIu64 "  %.*s\n", calls_width, calls, room, process_name(p));
	}
	if (r->tasks_lost)
		fprintf(f, " %*.*f %*" PRIu64 "  no room for more tasks\n", cell, digits,
			percent(r->tasks_lost_ns, r->all.wall_ns),
			COLUMNS * (1 + cell) + calls_width, r->tasks_lost);
}

/* Prints the network threads that ran at least NOTED_THREAD percent of the time. */
static void print_threads(FILE *f, const struct result *r, size_t rows)
{
	for (size_t i = 0; i < r->thread_count && i < rows; i++) {
		const struct thread *t = &r->threads[i];
		const double part = percent(t->ns, r->elapsed_ns);

		if (part < NOTED_THREAD)
			break;
		if (!i)
			fprintf(f, "\n  %% CPU %s  may run on  thread\n",
				opt.full ? "last on CPU" : " last on");
		fprintf(f,
			opt.full ? "%7.2f %11d %11s  %.*s\n" : "%7.1f  CPU %-4d %-10.10s  %.*s\n",
			part, t->cpu, t->cpus, opt.full ? INT_MAX : WIDTH - 31, thread_name(t));
	}
}

/* Prints the CPU time that netto itself used, and how much was lost while it measured. */
static void print_costs(FILE *f, const struct result *r)
{
	const struct profile *p = &r->profile;

	fprintf(f, "\nnetto itself: %.3f s user, %.3f s kernel; ", r->user_ns / 1e9,
		r->kernel_ns / 1e9);
	if (r->accounted) {
		fprintf(f, "/proc/stat leaves %.2f %% of all time\n",
			percent(r->unaccounted_ns, r->all.wall_ns));
		return;
	}
	fprintf(f,
		"residual %" PRIu64 " ns; lost: %.3f s unseen, %" PRIu64 " operations, %" PRIu64
		" returns",
		r->residual_ns, r->all.unseen_ns / 1e9, r->all.lost, r->all.unreturned);
	if (r->all.unreturned)
		fprintf(f, " (of %.3f s at most)", r->all.unreturned_ns / 1e9);
	if (p->hz) {
		fprintf(f, ", %" PRIu64 " samples (", p->lost);
		if (p->knows_not_taken)
			fprintf(f, "%" PRIu64 " missed, ", p->not_taken);
		fprintf(f, "%" PRIu64 " unknown, %" PRIu64 " cut)", p->unknown, p->cut);
	}
	if (r->has_recursion_misses)
		fprintf(f, ", %" PRIu64 " recursions", r->recursion_misses);
	if (r->has_energy)
		fprintf(f, "; power %.2f W, net's share %s%.2f W", power(r), net_mark(r, &r->all),
			net_power(r));
	fputc('\n', f);
}

/* Prints the whole report. Its table is in percent of each CPU's time. */
static void print_long(FILE *f, const struct result *r)
{
	const double stolen = percent(r->stolen_ns, r->all.wall_ns);

	fprintf(f, "netto: %s, %s %s %s, %d CPU%s, %.3f s, %s%s, ", r->host.nodename,
		r->host.sysname, r->host.release, r->host.machine, r->cpus, r->cpus == 1 ? "" : "s",
		r->elapsed_ns / 1e9, describe_mode(r, "from /proc/stat"),
		r->no_bpf ? " without eBPF" : "");
	if (r->profile.hz)
		fprintf(f, "%" PRIu64 " samples at %u Hz (%s)\n", r->profile.samples, r->profile.hz,
			r->profile.clock);
	else
		fputs("no samples\n", f);
	if (r->accounted)
		fprintf(f, "\nnet: all softirqs and network threads, at most; %s\n",
			r->exact ? "exact times" : "by ticks of the timer");
	print_table(f, r);
	print_busiest(f, r);
	print_packets(f, r);
	print_devices(f, r, MAX_DEVICES);
	print_threads(f, r, SIZE_MAX);
	print_tasks(f, r);
	print_stages(f, r);
	print_stacks(f, r, SIZE_MAX);
	if (stolen >= NOTED_STEAL)
		fprintf(f,
			"\nsteal: %.2f %% of all CPUs was other virtual machines': it is in what it interrupted\n",
			stolen);
	print_costs(f, r);
}

/* ==== 17. Printing the short report: it answers before it lists ==== */

/* Prints a text in lines of WIDTH columns, all but the first indented by `indent`. */
static __attribute__((format(printf, 3, 4))) void print_wrapped(FILE *f, int indent,
								const char *format, ...)
{
	const char *before = "";
	char text[1024];
	int column;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	column = fprintf(f, "%*s", (int)strspn(text, " "), "");
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
		if (*before && column + 1 + (int)strlen(word) > WIDTH)
			column = fprintf(f, "\n%*s%s", indent, "", word) - 1;
		else
			column += fprintf(f, "%s%s", before, word);
		before = " ";
	}
	fputc('\n', f);
}

enum { ONE_DECIMAL_NS = 9995 }; /* shorter times per packet are printed with two decimals */

static const char *microseconds(double ns, char text[32])
{
	snprintf(text, 32, ns < ONE_DECIMAL_NS ? "%.2f us" : "%.1f us", ns / 1000);
	return text;
}

static double idle_percent(const struct result *r, int cpu)
{
	return percent(times_of(r, cpu)->ns[EV_IDLE], times_of(r, cpu)->wall_ns);
}

static void print_summary(FILE *f, const struct result *r)
{
	const struct busiest b = find_busiest(r);
	const uint64_t packets = r->all.counts[PROCESSED];
	const time_t seconds = r->time;
	char when[80] = "", cell[64], number[32], numbers[2][32];
	uint64_t sampled_ns;
	struct estimate e = estimate_receiving(r, ALL_CPUS, &sampled_ns);
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		FORMAT(when, "%d-%02d-%02d %02d:%02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
		       tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	print_wrapped(f, 7, "netto: %s, %s %s, %d CPU%s, %s, %.1f s, %s%s", r->host.nodename,
		      r->host.sysname, r->host.release, r->cpus, r->cpus == 1 ? "" : "s", when,
		      r->elapsed_ns / 1e9, describe_mode(r, "from the kernel's accounts"),
		      r->no_bpf && !r->accounted ? " without eBPF" : "");
	FORMAT(cell, "%s%.1f %% of all CPUs", net_mark(r, &r->all), net_percent(r, &r->all));
	fprintf(f, "\nnetwork    %-27sbusiest    ", cell);
	FORMAT(cell, idle_percent(r, b.cpu) < 1 ? "nothing left" : "%.1f %% idle",
	       idle_percent(r, b.cpu));
	if (b.cpu < 0)
		fputs("none", f);
	else
		fprintf(f, "CPU %d: %s%s%.1f %%%s, %s", b.cpu, opt.bold ? "\033[1m" : "",
			net_mark(r, &r->cpu[b.cpu]), b.net, opt.bold ? "\033[m" : "", cell);
	FORMAT(cell, r->counted[PROCESSED] ? "%s/s" : "-",
	       group_digits(per_second(r, packets), number));
	if (packets)
		APPEND(cell, ", %s%s each",
		       packet_mark(r, sampled_ns,
				   (e.ns < (double)ONE_DECIMAL_NS * packets ? 5.0 : 50.0) *
					   packets),
		       microseconds((double)e.ns / packets, number));
	fprintf(f, "\npackets    %-27sdropped    %-10s squeezed   %s\n", cell,
		r->counted[DROPPED] ? group_digits(r->all.counts[DROPPED], numbers[0]) : "-",
		r->counted[SQUEEZED] ? group_digits(r->all.counts[SQUEEZED], numbers[1]) : "-");
}

/* Lists the stages that have self time, the largest first. Returns their number. */
static int rank_stages(const struct share *shares, struct ranked list[STAGES])
{
	int count = 0;

	for (int i = STAGE_NONE + 1; i < STAGES; i++)
		if (shares[i].self)
			list[count++] = (struct ranked) { i, shares[i].self };
	qsort(list, count, sizeof(*list), compare_ranked);
	return count;
}

/* Prints the contexts of a softirq on the busiest CPU, and its three largest stages there. */
static void print_busiest_parts(FILE *f, const struct result *r, int event)
{
	const int cpu = find_busiest(r).cpu;
	const struct shares *s = shares_of(r, cpu);
	const char *between = "";
	struct ranked list[STAGES];
	char line[160];
	int count = rank_stages(s->stages[event], list);

	if (cpu < 0 || r->cpus < 2 || s->samples[event] < MIN_SAMPLES ||
	    !event_is(event, HAS_CONTEXTS))
		return;
	FORMAT(line, "  on CPU %d:", cpu);
	for (int i = 0; i < CONTEXTS; i++) {
		double part = percent(estimate_context(r, cpu, event, i).ns, r->cpu[cpu].ns[event]);

		if (part < 1)
			continue;
		APPEND(line, "%s %.0f %% %s", between, part, contexts[i].name);
		between = ",";
	}
	if (*between)
		APPEND(line, ";");
	for (int i = 0; i < count && i < 3; i++) {
		if (!append(line, WIDTH + 1, "%s %s %.0f %%", i ? "," : "", stages[list[i].id].name,
			    100.0 * list[i].value / s->samples[event]))
			break;
	}
	print_wrapped(f, 4, "%s", line);
}

/* Prints the `rows` stages of an event with the most self time, and one line for the others. */
static void print_short_stages(FILE *f, const struct result *r, int event, int rows)
{
	const uint64_t samples = r->profile.all.samples[event];
	const double packets = event_is(event, RECEIVES) ? r->all.counts[PROCESSED] : 0;
	struct ranked list[STAGES];
	int count = rank_stages(r->profile.all.stages[event], list);
	double left = samples;
	char text[32];

	fprintf(f, "\n%s, %.1f %% of all CPUs, by stage (%s samples)\n", r->events[event].name,
		percent(r->all.ns[event], r->all.wall_ns), group_digits(samples, text));
	for (int i = 0; i < count && i <= rows; i++) {
		const bool is_rest = i == rows;
		const struct stage *stage = &stages[list[i].id];
		const double part = is_rest ? left : list[i].value;
		const double half = half_interval(part, samples);

		left -= part;
		if (is_rest)
			fprintf(f, "%5.1f %%         ", 100 * part / samples);
		else /* a decimal only where the interval is narrow enough for one */
			fprintf(f, "%5.*f %%  +/-%4.*f", half < 1, 100 * part / samples, half < 1,
				half);
		if (packets)
			fprintf(f, " %8s/packet",
				microseconds(r->all.ns[event] / packets * part / samples, text));
		if (is_rest)
			fprintf(f, "  %d other%s\n", count - rows, count - rows == 1 ? "" : "s");
		else
			fprintf(f, "  %-16s %s\n", stage->name, stage->what);
	}
	print_busiest_parts(f, r, event);
}

/*
 * Prints `rows` stages of each of the largest `events` events that are at least 1 % of `net`. The
 * other events of at least 1 % are only named, with the reason.
 */
static void print_all_short_stages(FILE *f, const struct result *r, int rows, int events)
{
	static const char *const why_not[] = {
		"the stages are in the long report (-l)",
		"too few samples (measure longer, or -F higher)",
	};
	const uint64_t *samples = r->profile.all.samples, net_ns = sum_net(r, r->all.ns);
	char names[ARRAY_SIZE(why_not)][256] = {};
	struct ranked list[EV_MAX];
	int count = 0;

	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		if (r->events[e].net && samples[e] && r->all.ns[e] >= net_ns / 100)
			list[count++] = (struct ranked) { e, r->all.ns[e] };
	qsort(list, count, sizeof(*list), compare_ranked);
	for (int i = 0; i < count; i++) {
		const int e = list[i].id;
		const bool too_few = samples[e] < MIN_SAMPLES;

		if (!too_few && events-- > 0)
			print_short_stages(f, r, e, rows);
		else
			APPEND(names[too_few], "%s%s", names[too_few][0] ? ", " : "",
			       r->events[e].name);
	}
	if (names[0][0] || names[1][0])
		fputc('\n', f);
	for (unsigned i = 0; i < ARRAY_SIZE(why_not); i++)
		if (names[i][0])
			print_wrapped(f, 2, "%s: %s", names[i], why_not[i]);
}

/* Prints a note. Its lines are indented by the length of "note: ". */
#define NOTE(f, ...) print_wrapped(f, 6, "note: " __VA_ARGS__)

/* The queue on which a CPU spends most time, or NULL if there is none. */
static const struct queue *fullest_queue(const struct result *r, int cpu)
{
	const struct queue *most = NULL;

	for (size_t i = 0; i < r->queue_count; i++)
		if (r->queues[i].cpu == cpu && (!most || r->queues[i].ns > most->ns))
			most = &r->queues[i];
	return most;
}

/* Notes a CPU that is full of network work while other CPUs are half idle or more. */
static void note_full_cpu(FILE *f, const struct result *r)
{
	const struct busiest b = find_busiest(r);
	const struct queue *q = fullest_queue(r, b.cpu);
	int idle = 0, sharing = 0;
	char polls[160] = "", queues[40] = "";

	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		idle += is_measured(r, cpu) && idle_percent(r, cpu) >= 50;
	if (!idle || b.cpu < 0 || b.net < 50 || idle_percent(r, b.cpu) >= 2)
		return;
	if (r->rx_queues)
		FORMAT(queues, ", %s; RPS is %s",
		       r->rx_queues == 1 ? "its only one" : "one of several",
		       r->rps ? "on" : "off");
	if (q && q->id)
		FORMAT(polls, " It polls queue %u of %s%s.", q->id, q->name, queues);
	NOTE(f, "CPU %d is full while %d CPU%s half idle or more.%s Spread the flows (RSS, RPS).",
	     b.cpu, idle, idle == 1 ? " is" : "s are", polls);
	for (size_t i = 0; i < r->thread_count; i++) {
		const struct thread *t = &r->threads[i];

		if (t->cpu != b.cpu || !t->accounted || percent(t->ns, r->elapsed_ns) < 10)
			continue;
		sharing++;
		if (strtol(t->cpus, NULL, 10) == b.cpu && !strpbrk(t->cpus, ",-"))
			NOTE(f,
			     "%s may run on CPU %d alone, which is full: move it (taskset -p %u).",
			     thread_name(t), b.cpu, t->pid);
	}
	if (sharing > 1)
		NOTE(f,
		     "%d busy network threads ran last on CPU %d, which is full: spread them (taskset -p).",
		     sharing, b.cpu);
}

/* Writes a sysctl and its value, or only the name where this network namespace hides the value. */
static const char *describe_limit(const char *name, long value, char text[64])
{
	snprintf(text, 64, value < 0 ? "%s" : "%s = %ld", name, value);
	return text;
}

/* Notes each part of a whole, above 1 %, that the reader should know of. */
static void note_parts(FILE *f, const struct result *r)
{
	const struct profile *p = &r->profile;
	const struct times *t = &r->all;
	const uint64_t not_seen = p->lost + (p->knows_not_taken ? p->not_taken : 0);
	const uint64_t calls = t->count[EV_RECV] + t->count[EV_SEND] + t->count[EV_CONN];
	const uint64_t rx_ns = t->ns[EV_RX_SOFTIRQ], ksoftirqd_ns = t->parts_ns[PART_KSOFTIRQD];
	/* clang-format off */
	const struct {
		bool applies; /* if the part is more than 1 %, too */
		uint64_t part, whole;
		const char *format;
	} notes[] = {
		{ r->has_parts && find_busiest(r).net >= 10 && ksoftirqd_ns > rx_ns / 2,
		  ksoftirqd_ns, rx_ns,
		  "note: %.0f %% of rx_softirq runs in ksoftirqd: packets come faster than softirqs get them done, and wait for their turn behind other tasks." },
		{ percent(r->stolen_ns, t->wall_ns) >= NOTED_STEAL, r->stolen_ns, t->wall_ns,
		  "note: other virtual machines had the CPUs for %.1f %% of the time (steal). It is in what it interrupted." },
		/* losses, and the figures that they make wrong */
		{ p->hz, not_seen, p->samples - p->all.samples[EV_IDLE] + not_seen,
		  "note: %.0f %% of the samples were lost or not taken: stages and stacks are of the others." },
		{ p->hz, p->unknown, p->net_samples, "note: %.0f %% of the samples are of no known stage." },
		{ calls, t->lost, calls,
		  "note: %.0f %% of the socket operations were lost while their task slept: recv, send and conn are too low, and other too high." },
		{ t->unreturned, t->unreturned_ns, sum_net(r, t->ns),
		  "note: %.1f %% of net, at most, is of operations whose end was missed: recv, send and conn are too high by it." },
		{ true, t->unseen_ns, t->wall_ns + t->unseen_ns,
		  "note: for %.1f %% of the time it is not known what CPUs did: percentages are of the rest." },
		{ true, r->residual_ns, t->wall_ns,
		  "note: the events miss %.1f %% of the time: this is a fault of netto." },
	};
	/* clang-format on */

	for (unsigned i = 0; i < ARRAY_SIZE(notes); i++)
		if (notes[i].applies && notes[i].part * 100 > notes[i].whole)
			print_wrapped(f, 6, notes[i].format,
				      percent(notes[i].part, notes[i].whole));
}

/* Prints all notes. A note is printed only where its rule is certain. */
static void print_notes(FILE *f, const struct result *r)
{
	const struct estimate net = event_time(r, &r->all, EV_NONE);
	const uint64_t dropped = r->all.counts[DROPPED], squeezed = r->all.counts[SQUEEZED];
	char number[32], limits[2][64];

	note_full_cpu(f, r);
	if (dropped)
		NOTE(f, "%s packets found no room in a CPU's backlog, and were dropped (%s).",
		     group_digits(dropped, number),
		     describe_limit("net.core.netdev_max_backlog", r->max_backlog, limits[0]));
	if (squeezed)
		NOTE(f, "NET_RX used up its budget %s time%s (%s, %s) and left packets for later.",
		     group_digits(squeezed, number), squeezed == 1 ? "" : "s",
		     describe_limit("net.core.netdev_budget", r->budget, limits[0]),
		     describe_limit("netdev_budget_usecs", r->budget_usecs, limits[1]));
	note_parts(f, r);
	if (r->events[EV_RX_SOFTIRQ].source == SAMPLED && net.ns &&
	    net.high_ns - net.low_ns > net.ns)
		NOTE(f, "net is +/- more than half of itself: measure longer, or -F higher.");
	if (r->accounted)
		NOTE(f,
		     "net is all softirqs and network threads: an upper bound%s. Packets, drops and threads are exact.",
		     r->exact ? "" : ", by ticks of the timer (CSV has the interval)");
}

/* Prints the short report: at most `rows` rows in a list, and the stages of `events` events. */
static void render_short(FILE *f, const struct result *r, int rows, int events)
{
	char *notes = NULL;
	size_t size;
	FILE *m = open_memstream(&notes, &size);

	print_summary(f, r);
	print_table(f, r);
	print_all_short_stages(f, r, rows, events);
	print_devices(f, r, rows);
	print_threads(f, r, 3);
	print_tasks(f, r);
	print_stacks(f, r, rows < 3 ? rows : 3);
	if (m)
		print_notes(m, r);
	if (m && !fclose(m) && size)
		fprintf(f, "\n%s", notes);
	free(notes);
}

/* Counts the lines of such a report. Without memory it returns 0. */
static unsigned count_short_lines(const struct result *r, int rows, int events)
{
	char *text = NULL;
	size_t size;
	unsigned lines = 0;
	FILE *m = open_memstream(&text, &size);

	if (!m)
		return 0;
	render_short(m, r, rows, events);
	if (!fclose(m))
		for (const char *c = text; *c; c++)
			lines += *c == '\n';
	free(text);
	return lines;
}

/* Prints the largest short report that fits into HEIGHT lines. The tasks of -t come on top. */
static void print_short(FILE *f, const struct result *r)
{
	static const struct {
		int rows, events;
	} sizes[] = { { 5, 6 }, { 5, 3 }, { 5, 2 }, { 4, 2 }, { 3, 2 }, { 4, 1 },
		      { 3, 1 }, { 2, 1 }, { 1, 1 }, { 1, 0 }, { 0, 0 } };
	const unsigned tasks = opt.tasks < r->process_count ? opt.tasks : r->process_count;
	const unsigned lines = HEIGHT + (r->has_tasks && opt.tasks ? 2 + tasks : 0);
	unsigned i = 0;

	while (i + 1 < ARRAY_SIZE(sizes) &&
	       count_short_lines(r, sizes[i].rows, sizes[i].events) > lines)
		i++;
	render_short(f, r, sizes[i].rows, sizes[i].events);
}

/* ==== 18. Printing CSV ==== */

/* A row. A member that is NULL or 0 leaves its field empty, because the value is not known. */
struct csv_row {
	const char *record;
	int cpu;		      /* or ALL_CPUS */
	const char *name[3];	      /* parts of the name, joined by / */
	const char *value;	      /* follows the name and = */
	const uint64_t *ns;	      /* NULL: range->ns is printed, if there is a range */
	const struct estimate *range; /* the 95 % interval of `ns` */
	bool tenths;		      /* all times but max_ns are in tenths of nanoseconds */
	uint64_t wall_ns;	      /* the field `percent` is ns / wall_ns */
	const double *percent;	      /* printed instead of ns / wall_ns */
	const uint64_t *count, *total_ns, *max_ns;
	int source;
};

#define CSV_ROW(f, r, what, where, ...)                                                            \
	print_csv_row(f, r, &(struct csv_row) { .record = what, .cpu = where, __VA_ARGS__ })

/* Prints a field, which is quoted only where RFC 4180 requires it. */
static void print_csv_field(FILE *f, const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, f);
		return;
	}
	fputc('"', f);
	for (; *text; text++)
		fprintf(f, *text == '"' ? "\"\"" : "%c", *text);
	fputc('"', f);
}

static void print_csv_number(FILE *f, const uint64_t *number, bool tenths)
{
	fputc(',', f);
	if (number)
		fprintf(f, "%" PRIu64, tenths ? *number / 10 : *number);
	if (number && tenths)
		fprintf(f, ".%" PRIu64, *number % 10);
}

static void print_csv_row(FILE *f, const struct result *r, const struct csv_row *row)
{
	static char name[MAX_DEPTH * 520]; /* the longest name is fold_stack()'s */
	const struct estimate *range = row->range;
	const uint64_t *ns = row->ns ? row->ns : range ? &range->ns : NULL;

	FORMAT(name, "%s", row->name[0]);
	for (unsigned i = 1; i < ARRAY_SIZE(row->name) && row->name[i]; i++)
		APPEND(name, "/%s", row->name[i]);
	if (row->value)
		APPEND(name, "=%s", row->value);
	fprintf(f, "%.3f,", r->time);
	print_csv_field(f, r->host.nodename);
	fprintf(f, ",%s,%s,", row->record, cpu_name(row->cpu));
	print_csv_field(f, name);
	print_csv_number(f, ns, row->tenths);
	fputc(',', f);
	if (row->wall_ns || row->percent)
		fprintf(f, "%.4f", row->percent ? *row->percent : percent(*ns, row->wall_ns));
	print_csv_number(f, row->count, false);
	print_csv_number(f, range ? &range->low_ns : NULL, row->tenths);
	print_csv_number(f, range ? &range->high_ns : NULL, row->tenths);
	print_csv_number(f, row->total_ns, row->tenths);
	fprintf(f, ",%s", sources[row->source]);
	print_csv_number(f, row->max_ns, false);
	fputc('\n', f);
}

static void print_csv_events(FILE *f, const struct result *r, int cpu)
{
	const struct times *t = times_of(r, cpu);
	const bool by_ticks = r->accounted && !r->exact, is_sampled = is_net_sampled(r),
		   has_samples = r->events[EV_NET_OTHER].source == SAMPLED,
		   has_moved = sampled_net_ns(r, t) ||
			       (r->events[EV_IO_WORKER].source == SAMPLED && t->ns[EV_IO_WORKER]);
	const struct estimate net = event_time(r, t, EV_NONE);
	const uint64_t count = sum_net(r, t->count);

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		const int source = r->events[e].source;
		/* samples may move time from these events to others */
		const bool pool = e >= EV_IO_WORKER && e != EV_IDLE;
		const bool has_range = source == SAMPLED || (pool && has_samples) || by_ticks;
		const bool has_count = source == TRACED && e != EV_OTHER; /* other has no entries */
		const bool has_longest = source == TRACED && event_is(e, HAS_LONGEST);
		const struct estimate range = event_time(r, t, e);

		if (source)
			CSV_ROW(f, r, "event", cpu, .name = { r->events[e].name }, .ns = &t->ns[e],
				.range = has_range ? &range : NULL, .wall_ns = t->wall_ns,
				.count = has_count ? &t->count[e] : NULL,
				.source = pool && has_moved ? SAMPLED : source,
				.max_ns = has_longest ? &t->longest_ns[e] : NULL);
	}
	CSV_ROW(f, r, "event", cpu, .name = { "net" }, .ns = &net.ns,
		.range = by_ticks || has_samples ? &net : NULL, .wall_ns = t->wall_ns,
		.count = is_sampled || r->accounted ? NULL : &count,
		.source = r->accounted			       ? COUNTED
			  : is_sampled || sampled_net_ns(r, t) ? SAMPLED
							       : TRACED);
}

/* Divides a time among packets, if there are any. The result is in tenths of nanoseconds. */
static struct estimate per_packet(struct estimate e, uint64_t packets)
{
	packets = packets ?: 1;
	return (struct estimate) { 10.0 * e.ns / packets + 0.5, 10.0 * e.low_ns / packets + 0.5,
				   10.0 * e.high_ns / packets + 0.5 };
}

/* Prints the packets of each CPU, the time of reception per packet, and that of each stage. */
static void print_csv_packets(FILE *f, const struct result *r)
{
	const uint64_t packets = r->all.counts[PROCESSED];

	for (int cpu = ALL_CPUS; cpu < MAX_CPUS; cpu++) {
		const uint64_t *counts = times_of(r, cpu)->counts;
		uint64_t sampled_ns;
		const struct estimate receiving = estimate_receiving(r, cpu, &sampled_ns),
				      each = per_packet(receiving, counts[PROCESSED]);

		if (!is_measured(r, cpu))
			continue;
		for (int i = r->accounted ? 0 : PROCESSED; i < COUNTS; i++) {
			const int e = proc_counters[i].event;

			if (r->counted[i])
				CSV_ROW(f, r, e ? "event" : "packet", cpu,
					.name = { e ? r->events[e].name : proc_counters[i].name },
					.count = &counts[i]);
		}
		if (counts[PROCESSED])
			CSV_ROW(f, r, "packet", cpu, .name = { "ns_per_packet" }, .ns = &each.ns,
				.range = receiving.low_ns != receiving.high_ns ? &each : NULL,
				.tenths = true, .count = &counts[PROCESSED],
				.source = r->accounted			   ? COUNTED
					  : *packet_mark(r, sampled_ns, 1) ? SAMPLED
									   : TRACED);
	}
	for (int e = EV_NONE + 1; e < EV_MAX && packets; e++) {
		for (int i = 0; i < STAGES && event_is(e, RECEIVES); i++) {
			const struct share *share = &r->profile.all.stages[e][i];
			struct estimate self, total;

			if (!share->total)
				continue;
			self = per_packet(estimate_part(r, ALL_CPUS, e, share->self), packets);
			total = per_packet(estimate_part(r, ALL_CPUS, e, share->total), packets);
			CSV_ROW(f, r, "packet", ALL_CPUS,
				.name = { "ns_per_packet", r->events[e].name, stages[i].name },
				.range = &self, .tenths = true, .count = &packets,
				.total_ns = &total.ns, .source = SAMPLED);
		}
	}
}

/* Prints a stage or an activity, by the number of its samples. Only a stage has a total. */
static void print_csv_part(FILE *f, const struct result *r, const char *record, int cpu, int event,
			   const char *name, uint64_t samples, uint64_t total)
{
	const struct estimate part = estimate_part(r, cpu, event, samples);
	const uint64_t total_ns = estimate_part(r, cpu, event, total).ns;

	CSV_ROW(f, r, record, cpu, .name = { r->events[event].name, name }, .range = &part,
		.wall_ns = times_of(r, cpu)->wall_ns, .count = &samples,
		.total_ns = total ? &total_ns : NULL, .source = SAMPLED);
}

/* Prints each stage and activity that has samples, and each context that has samples or time. */
static void print_csv_shares(FILE *f, const struct result *r, int cpu)
{
	const struct shares *s = shares_of(r, cpu);

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		for (int i = 0; i < STAGES; i++)
			if (s->stages[e][i].total)
				print_csv_part(f, r, "stage", cpu, e, stages[i].name,
					       s->stages[e][i].self, s->stages[e][i].total);
		for (int i = ACTIVITY_NONE + 1; i < ACTIVITIES; i++)
			if (s->activities[e][i])
				print_csv_part(f, r, "activity", cpu, e, activities[i].name,
					       s->activities[e][i], 0);
		for (int i = 0; i < CONTEXTS && event_is(e, HAS_CONTEXTS); i++) {
			const struct estimate part = estimate_context(r, cpu, e, i);
			const bool traced = is_context_traced(r, e, i);
			const uint64_t *samples = traced ? NULL : &s->contexts[e][i];

			if (part.ns || (samples && *samples))
				CSV_ROW(f, r, "context", cpu,
					.name = { r->events[e].name, contexts[i].name },
					.ns = &part.ns, .range = traced ? NULL : &part,
					.wall_ns = times_of(r, cpu)->wall_ns, .count = samples,
					.source = traced ? TRACED : SAMPLED);
		}
	}
}

static void print_csv_stacks(FILE *f, const struct result *r)
{
	const struct profile *p = &r->profile;

	for (size_t i = 0; i < p->stack_count && i < stacks_wanted(); i++) {
		const struct stack *stack = &p->stacks[i];
		const struct estimate part =
			estimate_part(r, ALL_CPUS, p->raws[stack->first].event, stack->count);

		CSV_ROW(f, r, "stack", ALL_CPUS, .name = { fold_stack(r, stack) }, .range = &part,
			.wall_ns = r->all.wall_ns, .count = &stack->count, .source = SAMPLED);
	}
}

/* Prints the polls and packets of each device on each CPU, and the polls of its queues. */
static void print_csv_devices(FILE *f, const struct result *r)
{
	char id[12];

	for (size_t i = 0, n; i < r->queue_count; i += n) {
		n = queues_of_device(r, i);
		for (int cpu = ALL_CPUS; cpu < MAX_CPUS; cpu++) {
			const struct queue sum = sum_device(r, i, n, cpu);

			if (cpu != ALL_CPUS && !sum.ns && !sum.polls)
				continue;
			CSV_ROW(f, r, "device", cpu, .name = { sum.name }, .ns = &sum.ns,
				.wall_ns = times_of(r, cpu)->wall_ns,
				.count = sum.polls ? &sum.polls : NULL,
				.source = r->has_pollers ? SAMPLED : TRACED);
			if (!r->has_pollers)
				CSV_ROW(f, r, "packet", cpu, .name = { "polled", sum.name },
					.count = &sum.packets, .source = TRACED);
		}
		for (size_t j = i; j < i + n && !r->has_pollers; j++) {
			const struct queue *q = &r->queues[j];

			FORMAT(id, "%u", q->id);
			CSV_ROW(f, r, "queue", q->cpu, .name = { q->name, id }, .ns = &q->ns,
				.wall_ns = r->cpu[q->cpu].wall_ns,
				.count = q->polls ? &q->polls : NULL, .source = TRACED);
		}
	}
}

static void print_csv_threads(FILE *f, const struct result *r)
{
	for (const struct thread *t = r->threads; t < r->threads + r->thread_count; t++)
		CSV_ROW(f, r, "thread", t->cpu, .name = { thread_name(t) }, .ns = &t->ns,
			.wall_ns = r->elapsed_ns, .source = COUNTED);
}

static void print_csv_tasks(FILE *f, const struct result *r)
{
	for (size_t i = 0; i < r->process_count && i < opt.tasks; i++) {
		const struct process *p = &r->processes[i];

		for (int e = EV_NONE + 1; e < EV_MAX; e++) {
			const uint64_t ns = p->did.ns[e], count = p->did.count[e];

			if (ns | count)
				CSV_ROW(f, r, "task", ALL_CPUS,
					.name = { process_name(p), r->events[e].name }, .ns = &ns,
					.wall_ns = r->all.wall_ns, .count = &count,
					.source = TRACED);
		}
	}
}

/* Prints the figures of the whole interval, and what measures each event. */
static void print_csv_run(FILE *f, const struct result *r)
{
	const struct profile *p = &r->profile;
	const struct busiest b = find_busiest(r);
	const uint64_t tasks = r->process_count, busiest_cpu = b.cpu, rate = b.rate + 0.5,
		       full = b.full + 0.5, energy = r->energy_uj + 0.5,
		       milliwatts = 1000 * net_power(r) + 0.5, wall_ns = r->all.wall_ns;
	const double ratio = 100 * b.ratio;
	const char *devices = r->device_hook ?: r->has_pollers ? "samples:" : "none:";
	char samples[64] = "none:";
	/* clang-format off */
	const struct {
		bool known;
		struct csv_row row;
	} run[] = {
		{ true, { .name = { "elapsed" }, .ns = &r->elapsed_ns } },
		{ !r->accounted, { .name = { "residual" }, .ns = &r->residual_ns, .wall_ns = wall_ns } },
		{ !r->accounted, { .name = { "unseen" }, .ns = &r->all.unseen_ns } },
		{ !r->accounted, { .name = { "operations_lost" }, .count = &r->all.lost } },
		{ !r->accounted, { .name = { "returns_missed" }, .ns = &r->all.unreturned_ns,
				   .count = &r->all.unreturned, .wall_ns = wall_ns } },
		{ p->hz, { .name = { "samples" }, .count = &p->samples } },
		{ p->hz, { .name = { "samples_lost" }, .count = &p->lost } },
		{ p->hz && p->knows_not_taken, { .name = { "samples_missed" }, .count = &p->not_taken } },
		{ p->hz, { .name = { "samples_unknown" }, .count = &p->unknown } },
		{ p->hz, { .name = { "samples_cut" }, .count = &p->cut } },
		{ true, { .name = { "steal" }, .ns = &r->stolen_ns, .wall_ns = wall_ns } },
		{ r->accounted, { .name = { "unaccounted" }, .ns = &r->unaccounted_ns, .wall_ns = wall_ns } },
		{ true, { .name = { "self_user" }, .ns = &r->user_ns } },
		{ true, { .name = { "self_kernel" }, .ns = &r->kernel_ns } },
		{ r->has_recursion_misses, { .name = { "recursion_misses" }, .count = &r->recursion_misses } },
		{ r->has_tasks, { .name = { "tasks" }, .count = &tasks } },
		{ r->has_tasks, { .name = { "tasks_lost" }, .ns = &r->tasks_lost_ns, .count = &r->tasks_lost } },
		{ b.cpu >= 0, { .name = { "busiest_cpu" }, .count = &busiest_cpu, .percent = &b.net } },
		{ b.cpu >= 0, { .name = { "imbalance" }, .percent = &ratio } },
		{ b.rate > 0, { .name = { "busiest_rate" }, .count = &rate } },
		{ b.rate > 0, { .name = { "busiest_rate_full" }, .count = &full } },
		{ r->has_energy, { .name = { "package_energy_uj" }, .count = &energy } },
		{ r->has_energy, { .name = { "net_power_mw" }, .count = &milliwatts } },
		{ true, { .name = { "hook", "devices" }, .value = devices } },
		{ true, { .name = { "hook", "samples" }, .value = samples } },
	};
	/* clang-format on */

	if (p->hz)
		FORMAT(samples, "%s:%s", r->no_bpf ? "perf_ring" : "perf_event", p->clock);
	for (unsigned i = 0; i < ARRAY_SIZE(run); i++) {
		struct csv_row row = run[i].row;

		row.record = "run";
		row.cpu = ALL_CPUS;
		if (run[i].known)
			print_csv_row(f, r, &row);
	}
	for (const struct event *e = &r->events[EV_NONE + 1]; e < &r->events[EV_MAX]; e++) {
		CSV_ROW(f, r, "run", ALL_CPUS, .name = { "hook", e->name }, .value = e->hook);
		if (e->why[0])
			CSV_ROW(f, r, "run", ALL_CPUS, .name = { "why", e->name }, .value = e->why);
	}
}

/* Prints the rows of one interval. The header is print_report()'s. */
static void print_csv(FILE *f, const struct result *r)
{
	for (int cpu = ALL_CPUS; cpu < MAX_CPUS; cpu++)
		if (is_measured(r, cpu))
			print_csv_events(f, r, cpu);
	print_csv_packets(f, r);
	print_csv_devices(f, r);
	print_csv_threads(f, r);
	print_csv_tasks(f, r);
	for (int cpu = ALL_CPUS; cpu < MAX_CPUS; cpu++)
		if (is_measured(r, cpu))
			print_csv_shares(f, r, cpu);
	print_csv_stacks(f, r);
	print_csv_run(f, r);
}

/* Returns 0, or -1 after a message if the report could not be written. */
static int print_report(const struct result *r, bool first)
{
	if (first && opt.output && ftruncate(fileno(report), 0) && errno != EINVAL) /* of a pipe */
		message("cannot empty %s: %s", opt.output, strerror(errno));
	if (first && opt.csv)
		fputs("time,host,record,cpu,name,ns,percent,count,low_ns,high_ns,total_ns,source,max_ns\n",
		      report);
	if (!first && !opt.csv && !opt.folded)
		fputc('\n', report);
	(opt.csv      ? print_csv
	 : opt.folded ? print_folded
	 : opt.full   ? print_long
		      : print_short)(report, r);
	if (fflush(report) || ferror(report)) {
		message("cannot write the report: %s", strerror(errno));
		return -1;
	}
	return 0;
}

/* ==== 19. Command line ==== */

/* Says what is wrong with the command line. The value is the exit status. */
#define REFUSE(...) (message(__VA_ARGS__), EXIT_USAGE)

/* clang-format off */
/* An option that only sets a variable points to it; parse_options() handles the others. */
static const struct {
	char letter;
	const char *name, *argument, *help;
	bool *flag;
	unsigned *number, max;
} options[] = {
	{ 'c', "csv", .flag = &opt.csv, .help = "CSV on stdout instead of text" },
	{ 'f', "folded", .flag = &opt.folded, .help = "folded stacks on stdout, for flamegraph.pl" },
	{ 'm', "mode", "MODE", .help = "auto: trace what can be, and sample the rest; trace; sample" },
	{ 'F', "freq", "HZ", .number = &opt.freq, .max = MAX_HZ,
	  .help = "stack samples per second and CPU (997); 0: none" },
	{ 's', "stacks", "N", .number = &opt.stacks, .max = MAX_COUNT,
	  .help = "how many of the most-sampled stacks to print (3; with -c and -l 10)" },
	{ 'l', "long", .flag = &opt.full, .help = "the whole report as text, not the short one" },
	{ 't', "tasks", "N", .number = &opt.tasks, .max = MAX_COUNT,
	  .help = "how many of the tasks that spend most in socket operations to print (0)" },
	{ 'o', "output", "FILE", .help = "write the report to FILE instead of stdout" },
	{ 'v', "verbose", .flag = &opt.verbose,
	  .help = "say on stderr what measures each event, and why not more" },
	{ 'h', "help", .help = "print this and exit; `--help events`, `--help stages`: what these are" },
	{ 'V', "version", .help = "print the version and exit" },
};
/* clang-format on */

static void print_usage(void)
{
	fputs("Usage: netto [OPTION]... [SECONDS [COUNT]]\n"
	      "       netto [OPTION]... -- COMMAND [ARG]...\n"
	      "Measures how much of each CPU the kernel's network stack takes: for 10 seconds, or for\n"
	      "SECONDS (a fraction is fine), COUNT times (0: until interrupted), or while COMMAND runs.\n\n",
	      stdout);
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		printf("  -%c, --%s %-*s %s\n", options[i].letter, options[i].name,
		       (int)(10 - strlen(options[i].name)),
		       options[i].argument ? options[i].argument : "", options[i].help);
	fputs("\nExit status: 0 measured, 1 failed, 2 bad usage, 3 this kernel lets nothing be measured;\n"
	      "that of COMMAND where it is not 0 (128 and the signal that killed it; 126 or 127 if it\n"
	      "cannot be run). SIGINT, SIGTERM and SIGHUP end the run early (COMMAND gets them): what was\n"
	      "measured so far is reported. A second one ends it at once.\n",
	      stdout);
}

/* Prints what -V asks for, or -h with the topic after it (or NULL). Returns the exit status. */
static int print_info(bool version, const char *topic)
{
	struct netto *skel;

	if (version) {
		puts("netto " VERSION);
	} else if (!topic || topic[0] == '-') { /* an option, or the v of -hv */
		print_usage();
	} else if (!strcmp(topic, "stages")) {
		for (int i = STAGE_NONE + 1; i < STAGES; i++)
			printf("%-18s %s\n", stages[i].name, stages[i].what);
	} else if (!strcmp(topic, "events") && (skel = netto__open())) {
		for (int e = EV_NONE + 1; e < EV_MAX; e++)
			printf("%-12s %s\n", (const char *)skel->rodata->events[e].name,
			       event_kinds[e].words);
		netto__destroy(skel);
	} else {
		return REFUSE("--help tells of events and stages, not of '%s'", topic);
	}
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_MEASURED;
	message("cannot write: %s", strerror(errno));
	return EXIT_FAILED;
}

/* This function and the parsers below return -1 to go on, or the exit status. */
static int parse_value(const char *name, const char *text, double max, unsigned *value)
{
	double number;

	if (!parse_number(text, 0, max, true, &number))
		return REFUSE("%s is '%s': it must be a whole number from 0 to %.0f", name, text,
			      max);
	*value = number;
	return -1;
}

static int parse_mode(const char *text)
{
	static const char *const modes[] = {
		[AUTO] = "auto", [TRACE] = "trace", [SAMPLE] = "sample"
	};

	for (opt.mode = AUTO; opt.mode <= SAMPLE; opt.mode++)
		if (!strcmp(text, modes[opt.mode]))
			return -1;
	return REFUSE("MODE is '%s': it must be auto, trace or sample", text);
}

/* Parses SECONDS and COUNT, and refuses options that exclude each other. */
static int parse_arguments(int argc, char **argv)
{
	const struct {
		bool applies;
		const char *reason;
	} refused[] = {
		{ opt.csv && opt.folded, "-c and -f exclude each other" },
		{ opt.folded && !opt.freq, "-f needs samples: -F must not be 0" },
		{ opt.mode == SAMPLE && !opt.freq, "-m sample needs samples: -F must not be 0" },
		{ opt.command && !opt.command[0], "COMMAND is missing behind --" },
		{ opt.command && argc, "SECONDS and COMMAND exclude each other" },
	};
	unsigned count = opt.count;
	int status = -1;

	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++)
		if (refused[i].applies)
			return REFUSE("%s", refused[i].reason);
	if (argc > 2)
		return REFUSE("too many arguments: '%s': --help says more", argv[2]);
	if (argc > 0 && !parse_number(argv[0], 0.001, MAX_SECONDS, false, &opt.seconds))
		return REFUSE("SECONDS is '%s': it must be a number from 0.001 to %.0f", argv[0],
			      MAX_SECONDS);
	if (argc > 1)
		status = parse_value("COUNT", argv[1], MAX_COUNT, &count);
	opt.count = count;
	return status;
}

/* Cuts off the command behind a "--". Returns the number of the arguments before it. */
static int find_command(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		opt.command = argv + i + 1;
		opt.seconds = MAX_SECONDS;
		argv[i] = NULL; /* where musl's getopt_long() looks for a value, it ignores argc */
		return i;
	}
	return argc;
}

/*
 * Says why getopt_long() refused an option. `word` is the last argument that it read. musl sets
 * optopt to 0 for a long option that it does not know.
 */
static int refuse_option(const char *word)
{
	unsigned alike = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		if (optopt && options[i].letter == optopt)
			return REFUSE("option '--%s' takes no value: --help says more",
				      options[i].name);
		alike += !optopt && !strncmp(options[i].name, word + 2, strcspn(word + 2, "="));
	}
	return optopt ? REFUSE("unknown option '-%c': --help says more", optopt)
		      : REFUSE("%s option '%s': --help says more",
			       alike > 1 ? "ambiguous" : "unknown", word);
}

static int parse_options(int argc, char **argv)
{
	struct option longs[ARRAY_SIZE(options) + 1] = {};
	char shorts[2 * ARRAY_SIZE(options) + 2] = ":";
	int c, status = -1;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		longs[i] = (struct option) { options[i].name, options[i].argument != NULL, NULL,
					     options[i].letter };
		APPEND(shorts, "%c%s", options[i].letter, options[i].argument ? ":" : "");
	}
	argc = find_command(argc, argv);
	opterr = 0;
	while (status < 0 && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		switch (c) {
		case 'm':
			status = parse_mode(optarg);
			break;
		case 'o':
			opt.output = optarg;
			break;
		case 'h':
		case 'V':
			return print_info(c == 'V', argv[optind]);
		case ':':
			return REFUSE("option '-%c' needs a value: --help says more", optopt);
		case '?':
			return refuse_option(argv[optind - 1]);
		default:
			for (i = 0; options[i].letter != c; i++)
				;
			if (options[i].flag)
				*options[i].flag = true;
			else
				status = parse_value(options[i].argument, optarg, options[i].max,
						     options[i].number);
		}
	}
	return status < 0 ? parse_arguments(argc - optind, argv + optind) : status;
}

/* ==== 20. Running ==== */

/* The value of a sysctl, or -1 if it cannot be read. */
static long read_setting(const char *name)
{
	char path[64], text[32];

	FORMAT(path, "/proc/sys/net/core/%s", name);
	return read_small_file(path, text, sizeof(text)) ? -1 : strtol(text, NULL, 10);
}

/* Reads the limits for notes, and the queues of the device that takes most of the busiest CPU. */
static void read_settings(struct result *r)
{
	const struct queue *q = fullest_queue(r, find_busiest(r).cpu);
	char path[PATH_MAX], text[512]; /* the mask of 1,024 CPUs has 288 characters */

	r->max_backlog = read_setting("netdev_max_backlog");
	r->budget = read_setting("netdev_budget");
	r->budget_usecs = read_setting("netdev_budget_usecs");
	r->rps = false;
	for (r->rx_queues = 0; q; r->rx_queues++) {
		FORMAT(path, "/sys/class/net/%s/queues/rx-%u/rps_cpus", q->name, r->rx_queues);
		if (read_small_file(path, text, sizeof(text)))
			break;
		r->rps |= text[strspn(text, "0,\n")] != 0;
	}
}

/* Says that samples are skipped, and says so again each time that more of them are. */
static void tell_skipped(const struct session *s)
{
	static unsigned told;
	unsigned every = s->no_bpf[0] ? 0 : s->skel->bss->every;

	if (every > told)
		message("one in %u samples is taken: all would take over 10 %% of a CPU", every);
	told = every;
}

/* Fills in what all intervals have in common. */
static void describe_session(const struct session *s, struct result *r)
{
	static struct symbols symbols;

	uname(&r->host);
	describe_events(s, r->events);
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		r->profile.from_samples[e] = r->events[e].source == SAMPLED;
	symbols.own = &s->sampler.own;
	symbols.rodata = s->skel->rodata;
	symbols.has_kprobes = is_kprobe_used(s);
	r->profile.symbols = &symbols;
	r->no_bpf = s->no_bpf[0];
	r->accounted = s->accounted;
	r->device_hook = device_hook(s);
	r->has_parts = base_kind(s) == TP_BTF && !s->rt;
	r->has_tasks = s->skel->rodata->tasks;
	r->has_energy = s->energy.packages && !s->accounted;
}

/* Measures and reports interval after interval. Returns the exit status. */
static int run_intervals(struct session *s)
{
	static struct marks marks[2];
	static struct result r;
	const uint64_t length_ns = opt.seconds * NSEC_PER_SEC;
	const bool may_reread = opt.count != 1 && s->sampler.hz;
	uint64_t deadline_ns;
	bool ended = false;
	int status = EXIT_MEASURED;

	describe_session(s, &r);
	/* keeps the first report from being late; if this fails, make_profile() tries again */
	if (may_reread && has_new_code())
		prepare_classifying(r.profile.symbols, s->sampler.kallsyms);
	read_rings(&s->sampler, UINT32_MAX, UINT64_MAX); /* drops samples from before interval 1 */
	read_threads(&marks[0]); /* the first time it reads all tasks: too slow for a mark */
	if (make_mark(s, &marks[0], 1))
		return EXIT_FAILED;
	s->sampler.started_ns = deadline_ns = now_ns(CLOCK_MONOTONIC);
	phase = MEASURING;
	if (opt.verbose)
		message("measuring");
	if (opt.command && !start_command())
		return EXIT_FAILED;
	for (long id = 1; !ended; id++) {
		struct marks *start = &marks[(id - 1) % 2], *end = &marks[id % 2];

		/* overdue: it began at the last mark, and ends a length from now */
		if (now_ns(CLOCK_MONOTONIC) > deadline_ns + length_ns)
			deadline_ns = now_ns(CLOCK_MONOTONIC);
		deadline_ns += length_ns;
		ended = wait_until(s, deadline_ns, id) || id == opt.count;
		if (make_mark(s, end, ended ? 0 : id + 1))
			return EXIT_FAILED;
		read_rings(&s->sampler, id, now_ns(CLOCK_MONOTONIC));
		subtract_marks(end, start, &r);
		if (r.has_tasks)
			forget_processes(s, end, start);
		if (may_reread && has_new_code())
			free_symbols(r.profile.symbols); /* make_profile() reads them again */
		if (make_profile(&r.profile, &s->sampler, id))
			status = EXIT_FAILED; /* the report still has all traced times */
		share_out(&r);
		find_pollers(&r);
		count_missed(&r);
		read_settings(&r);
		tell_skipped(s);
		if (print_report(&r, id == 1))
			return EXIT_FAILED;
		ended |= phase == ENDING; /* a signal came after wait_until() */
	}
	return status;
}

/* Opens the report's file, which print_report() empties later. Returns false after a message. */
static bool open_report(void)
{
	static char buffer[1 << 16]; /* musl's own buffer would need a write() for each kB */

	report = opt.output ? fopen(opt.output, "ae") : stdout;
	if (!report) {
		message("cannot write %s: %s", opt.output, strerror(errno));
		return false;
	}
	setvbuf(report, buffer, _IOFBF, sizeof(buffer));
	opt.bold = isatty(fileno(report)) && !getenv("NO_COLOR");
	return true;
}

/* Opens all standard streams that are closed, so that no file opened later gets their numbers. */
static void open_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY); /* to write a report there fails */
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

int main(int argc, char **argv)
{
	static struct session s;
	int status;

	program_began_ns = phase_ns = now_ns(CLOCK_MONOTONIC);
	open_streams();
	status = parse_options(argc, argv);
	if (status >= 0)
		return status;
	if (opt.command && !prepare_command())
		return EXIT_FAILED;
	handle_signals();
	if (!open_report())
		return EXIT_FAILED;
	status = start_probes(&s);
	if (!status) {
		if (opt.verbose)
			explain_probes(&s);
		tell_phase("ready");
		status = run_intervals(&s);
	}
	if (fclose(report) && !status) { /* a network file system may report a full disk only now */
		message("cannot write the report: %s", strerror(errno));
		status = EXIT_FAILED;
	}
	status_at_end = command.status ? command.status : status;
	phase = STOPPING;
	tell_phase("reported");
	stop_probes(&s);
	tell_phase("probes were taken off");
	return status_at_end;
}

/* ==== 21. Appendix: the kernel functions of stages and activities ==== */

/* clang-format off */
#define STAGE(id, words, ...) [STAGE_##id] = { .name = #id, .what = words, __VA_ARGS__ }

static const struct stage stages[STAGES] = {
	/* in the stack of a system call these are of a softirq that interrupted it */
	STAGE(softirq, "the softirq core", .shared = true,
		.symbols = "handle_softirqs __do_softirq __softirqentry_text_start do_softirq "
		"do_softirq_own_stack __irq_exit_rcu irq_exit_rcu run_ksoftirqd tasklet_action* "
		"run_timer_softirq __run_timers rcu_core*"),
	STAGE(napi, "NET_RX's polling loop", .receives = true, .kind = GENERIC,
		.symbols = "net_rx_action __napi_poll napi_poll napi_threaded_poll_loop "
		"napi_threaded_poll __napi_busy_loop napi_busy_loop busy_poll_stop net_tx_action "
		"xfrm_dev_backlog sk_busy_loop_end ep_busy_loop_end net_rps_action_and_irq_enable"),
	STAGE(driver, "receiving in a card's driver", .receives = true, .kind = POINTER,
		.callers = "__napi_poll napi_poll net_rx_action __napi_busy_loop busy_poll_stop"),
	STAGE(virtual_poll, "receiving from veth, lo", .receives = true,
		.symbols = "process_backlog gro_cell_poll veth_poll tun_napi_poll "
		"wg_packet_rx_poll flush_backlog cpu_map_kthread_run cpu_map_bpf_prog_run*"),
	STAGE(ifb, "ifb (ingress shaping)", .receives = true, .symbols = "ifb_*", .modules = "ifb"),
	STAGE(tun, "tun and tap devices", .symbols = "tun_* tap_*", .modules = "tun tap"),
	STAGE(vhost, "vhost-net (virtual machines)", .modules = "vhost_net"),
	STAGE(wifi, "Wi-Fi (mac80211 and drivers)", .receives = true,
		.symbols = "ieee80211_* cfg80211_*",
		.modules = "mac80211 cfg80211 lib80211 mac80211_hwsim ath ath9k* ath10k* ath11k* "
		"ath12k* iwlwifi iwlmvm iwlmld iwldvm mt76* mt7603* mt7615* mt79* rt2x00* rt2800* "
		"rtw88* rtw89* rtlwifi rtl_pci rtl_usb rtl8xxxu brcmfmac brcmsmac brcmutil mwlwifi "
		"mwifiex* b43* carl9170"),
	STAGE(usbnet, "USB network cards", .receives = true,
		.symbols = "usbnet_* lan78xx_* smsc95xx_* r8152_* rtl8152_* rx_complete "
		"tx_complete read_bulk_callback write_bulk_callback",
		.modules = "usbnet cdc_ether cdc_eem cdc_subset cdc_ncm cdc_mbim qmi_wwan "
		"rndis_host r8152 asix ax88179_178a aqc111 smsc75xx smsc95xx lan78xx dm9601 sr9700 "
		"mcs7830 pegasus rtl8150 hso ipheth u_ether usb_f_ecm usb_f_ncm usb_f_rndis"),
	STAGE(no_napi, "drivers without NAPI", .receives = true,
		.modules = "xen_netback mhi_net mhi_wwan_mbim enc28j60 encx24j600 ks8851* dm9051 "
		"qcaspi w5100* adin1110 oa_tc6 mcp251x mcp251xfd firewire_net slip"),
	STAGE(pktgen, "the packet generator", .symbols = "pktgen_*", .modules = "pktgen"),
	STAGE(gro, "joining segments (GRO)", .receives = true,
		.symbols = "napi_gro_receive gro_receive_skb napi_gro_frags dev_gro_receive "
		"napi_gro_complete gro_complete napi_gro_flush __gro_flush gro_flush "
		"napi_complete_done skb_gro_receive skb_gro_receive_list inet_gro_receive "
		"ipv6_gro_receive tcp4_gro_receive tcp6_gro_receive tcp_gro_receive "
		"udp4_gro_receive udp6_gro_receive udp_gro_receive vlan_gro_receive "
		"eth_gro_receive gre_gro_receive vxlan_gro_receive inet_gro_complete "
		"ipv6_gro_complete tcp4_gro_complete tcp6_gro_complete udp4_gro_complete "
		"udp6_gro_complete gro_cells_receive gro_normal_list gro_normal_one "
		"napi_skb_finish gro_pull_from_frag0 gro_try_pull_from_frag0"),
	STAGE(xdp, "XDP programs in the driver", .receives = true,
		.symbols = "bpf_dispatcher_xdp_func bpf_dispatcher_xdp xdp_do_redirect "
		"xdp_do_redirect_frame xdp_do_flush xdp_do_flush_map __dev_flush bq_enqueue "
		"bq_xmit_all __cpu_map_flush cpu_map_enqueue dev_map_enqueue __xsk_map_redirect "
		"__xsk_map_flush xsk_rcv veth_xdp_rcv_one veth_xdp_rcv_skb bpf_test_run_xdp_live "
		"xdp_test_run_batch"),
	STAGE(xdp_generic, "generic XDP programs", .receives = true,
		.symbols = "do_xdp_generic netif_receive_generic_xdp bpf_prog_run_generic_xdp "
		"generic_xdp_tx xdp_do_generic_redirect netif_skb_check_for_xdp"),
	STAGE(xsk, "AF_XDP sockets", .symbols = "xsk_* __xsk_* xp_* xdp_umem_*"),
	STAGE(core, "the core of reception",
		.symbols = "__netif_receive_skb_core __netif_receive_skb_one_core "
		"__netif_receive_skb __netif_receive_skb_list_core __netif_receive_skb_list "
		"netif_receive_skb netif_receive_skb_core netif_receive_skb_list "
		"netif_receive_skb_list_internal netif_receive_skb_internal deliver_skb "
		"skb_vlan_untag"),
	STAGE(rps, "spreading packets (RPS)",
		.symbols = "get_rps_cpu net_rps_send_ipi set_rps_cpu"),
	/* within STAGE_core these belong to STAGE_rps: see stage_of_frame() */
	STAGE(backlog, "queueing to the backlog",
		.symbols = "enqueue_to_backlog netif_rx __netif_rx netif_rx_internal netif_rx_ni"),
	STAGE(tc, "traffic control on ingress",
		.symbols = "__tcf_classify tc_run cls_bpf_classify fl_classify u32_classify "
		"mall_classify skb_do_redirect sch_handle_ingress tcf_* tcx_run* est_timer "
		"est_fetch_counters", .modules = "cls_* act_* sch_ingress"),
	/* STAGE_tc's functions belong to this stage if they are called within STAGE_qdisc */
	STAGE(tc_egress, "traffic control on egress"),
	STAGE(nf_ingress, "netfilter's ingress hook", .kind = HOOK,
		.callers = "__netif_receive_skb_core"),
	STAGE(nf_egress, "netfilter's egress hook", .kind = HOOK, .callers = "__dev_queue_xmit"),
	STAGE(flowtable, "netfilter's flow table", .symbols = "flow_offload_lookup nf_flow_*",
		.modules = "nf_flow_table*"),
	STAGE(vlan, "VLAN devices", .symbols = "vlan_*", .modules = "8021q"),
	STAGE(bond, "bonding", .symbols = "bond_*", .modules = "bonding"),
	STAGE(team, "team devices", .symbols = "team_handle_frame team_xmit",
		.modules = "team team_mode_*"),
	STAGE(macvlan, "macvlan devices", .symbols = "macvlan_*", .modules = "macvlan macvtap"),
	STAGE(ipvlan, "ipvlan devices", .symbols = "ipvlan_*", .modules = "ipvlan ipvtap"),
	STAGE(netkit, "netkit devices", .symbols = "netkit_*", .modules = "netkit"),
	STAGE(dsa, "switch chips (DSA)", .symbols = "dsa_*", .modules = "dsa_core tag_*"),
	STAGE(hsr, "HSR and PRP devices", .symbols = "hsr_*", .modules = "hsr"),
	STAGE(batadv, "B.A.T.M.A.N. mesh", .symbols = "batadv_*", .modules = "batman_adv"),
	STAGE(macsec, "MACsec encryption", .symbols = "macsec_*", .modules = "macsec"),
	STAGE(bridge, "bridging", .symbols = "__br_forward br_* fdb_rcu_free", .modules = "bridge"),
	STAGE(nf_bridge, "a bridge's netfilter hooks", .kind = HOOK,
		.callers = "br_pass_frame_up __br_forward br_forward_finish br_handle_frame "
		"br_handle_frame_finish br_netif_receive_skb"),
	STAGE(bridge_nf, "br_netfilter", .symbols = "br_nf_*", .modules = "br_netfilter"),
	STAGE(ovs, "Open vSwitch", .symbols = "netdev_frame_hook ovs_*", .modules = "openvswitch"),
	STAGE(tunnel_rx, "tunnels, receiving",
		.symbols = "vxlan_rcv geneve_udp_encap_recv gre_rcv __ipgre_rcv ipgre_rcv "
		"ip_tunnel_rcv ipip_rcv ipip_tunnel_rcv ipip6_rcv ip6_tnl_rcv __ip6_tnl_rcv "
		"l2tp_udp_encap_recv pppoe_rcv ppp_input tunnel4_rcv udp_tunnel_* gue_* fou_* "
		"vxlan_* geneve_* l2tp_*",
		.modules = "vxlan geneve ip_gre ip6_gre gre ipip sit ip_tunnel ip6_tunnel tunnel4 "
		"tunnel6 ip_vti ip6_vti gre6 bareudp amt l2tp_* pppoe ppp_* udp_tunnel"),
	STAGE(tunnel_tx, "tunnels, sending",
		.symbols = "vxlan_xmit vxlan_xmit_one geneve_xmit ipgre_xmit gre_tap_xmit "
		"__gre_xmit ip_tunnel_xmit iptunnel_xmit ip_md_tunnel_xmit ipip_tunnel_xmit "
		"sit_tunnel_xmit ip6_tnl_start_xmit ip6_tnl_xmit udp_tunnel_xmit_skb "
		"udp_tunnel6_xmit_skb ppp_start_xmit pppoe_xmit l2tp_xmit_skb"),
	STAGE(gtp, "GTP tunnels", .symbols = "gtp_*", .modules = "gtp"),
	STAGE(mpls, "MPLS forwarding", .symbols = "mpls_*",
		.modules = "mpls_router mpls_iptunnel mpls_gso"),
	STAGE(vrf, "VRF devices", .symbols = "vrf_* l3mdev_*", .modules = "vrf"),
	STAGE(ovpn, "OpenVPN's module", .symbols = "ovpn_*", .modules = "ovpn ovpn_dco*"),
	STAGE(wireguard, "WireGuard", .symbols = "wg_*", .modules = "wireguard"),
	STAGE(xfrm, "IPsec",
		.symbols = "esp_input* esp_output* esp_xmit* esp4_* esp6_* ah_input* ah_output* "
		"ah6_* xfrm* espintcp_*", .modules = "esp4 esp6 ah4 ah6 xfrm_*"),
	/* some of these are in assembly, and old kernels cannot unwind through them */
	STAGE(crypto, "encryption", .shared = true,
		.symbols = "chacha_* poly1305_* chacha20poly1305_* curve25519_* blake2s_* "
		"crypto_aead_encrypt crypto_aead_decrypt"),
	STAGE(ip_rx_v4, "IPv4 reception",
		.symbols = "ip_rcv ip_list_rcv ip_sublist_rcv ip_rcv_core ip_rcv_finish "
		"ip_rcv_finish_core ip_sublist_rcv_finish ip_list_rcv_finish ip_rcv_options"),
	STAGE(ip_rx_v6, "IPv6 reception",
		.symbols = "ipv6_rcv ipv6_list_rcv ip6_sublist_rcv ip6_rcv_core ip6_rcv_finish "
		"ip6_rcv_finish_core ip6_sublist_rcv_finish ip6_list_rcv_finish"),
	STAGE(nf_prerouting_v4, "netfilter: prerouting, IPv4", .kind = HOOK,
		.callers = "ip_rcv ip_sublist_rcv vrf_l3_rcv vrf_ip_rcv vrf_rcv_nfhook "
		"xfrm4_transport_finish br_nf_pre_routing"),
	STAGE(nf_prerouting_v6, "netfilter: prerouting, IPv6", .kind = HOOK,
		.callers = "ipv6_rcv ip6_sublist_rcv vrf_ip6_rcv xfrm6_transport_finish "
		"br_nf_pre_routing_ipv6"),
	STAGE(nf_input_v4, "netfilter: input, IPv4", .kind = HOOK, .callers = "ip_local_deliver"),
	STAGE(nf_input_v6, "netfilter: input, IPv6", .kind = HOOK,
		.callers = "ip6_input ip6_mc_input"),
	STAGE(nf_forward_v4, "netfilter: forward, IPv4", .kind = HOOK,
		.callers = "ip_forward ipmr_queue_xmit ipmr_queue_fwd_xmit br_nf_forward_ip"),
	STAGE(nf_forward_v6, "netfilter: forward, IPv6", .kind = HOOK,
		.callers = "ip6_forward ip6mr_forward2 ip6mr_prepare_xmit"),
	STAGE(nf_output_v4, "netfilter: output, IPv4", .kind = HOOK,
		.callers = "__ip_local_out raw_sendmsg vrf_ip_local_out ip_vs_nat_xmit "
		"ip_vs_dr_xmit ip_vs_tunnel_xmit ip_vs_bypass_xmit ip_vs_icmp_xmit"),
	STAGE(nf_output_v6, "netfilter: output, IPv6", .kind = HOOK,
		.callers = "__ip6_local_out ip6_xmit rawv6_sendmsg mld_sendpack igmp6_send "
		"ndisc_send_skb vrf_ip6_local_out ip_vs_nat_xmit_v6 ip_vs_dr_xmit_v6 "
		"ip_vs_tunnel_xmit_v6 ip_vs_bypass_xmit_v6 ip_vs_icmp_xmit_v6"),
	STAGE(nf_postrouting_v4, "netfilter: postrouting, IPv4", .kind = HOOK,
		.callers = "ip_output ip_mc_output xfrm4_output vrf_output vrf_ip_out_direct "
		"vrf_output_direct br_nf_post_routing"),
	STAGE(nf_postrouting_v6, "netfilter: postrouting, IPv6", .kind = HOOK,
		.callers = "ip6_output ip6_finish_output2 xfrm6_output vrf_output6 "
		"vrf_ip6_out_direct vrf_output6_direct"),
	/* no rule knows the hook's caller, or netfilter calls these on the way to a hook */
	STAGE(netfilter, "netfilter's core",
		.symbols = "nf_hook_slow nf_hook_slow_list nf_hook NF_HOOK NF_HOOK_LIST nf_log_* "
		"nfulnl_*", .modules = "nfnetlink_log nf_log_syslog"),
	STAGE(nfqueue, "to user space (NFQUEUE)",
		.symbols = "nf_queue __nf_queue nf_reinject nfqnl_*", .modules = "nfnetlink_queue"),
	STAGE(conntrack, "connection tracking",
		.symbols = "ipv4_conntrack_in ipv6_conntrack_in ipv4_conntrack_local "
		"ipv6_conntrack_local nf_confirm ipv4_confirm ipv6_confirm nf_ct_* nf_conntrack_* "
		"__nf_conntrack_* __nf_ct_* gc_worker tree_gc_worker ecache_work",
		.modules = "nf_conntrack* nf_conncount"),
	STAGE(nat, "address translation (NAT)", .symbols = "nft_nat_do_chain nf_nat_*",
		.modules = "nf_nat* nft_chain_nat iptable_nat ip6table_nat"),
	STAGE(nft, "nftables rules", .symbols = "nft_* nf_tables_*", .modules = "nf_tables nft_*"),
	STAGE(iptables, "iptables rules", .kind = POINTER,
		.symbols = "ipt_do_table ip6t_do_table ebt_do_table arpt_do_table ip_set_test "
		"iptable_* ip6table_* xt_* htable_gc dsthash_free_rcu",
		.modules = "x_tables ip_tables ip6_tables iptable_* ip6table_* arp_tables "
		"arptable_* ebtables ebtable_* xt_* ipt_* ip6t_* ip_set ip_set_*",
		.callers = "nft_match_eval nft_match_large_eval nft_target_eval_xt "
		"nft_target_eval_bridge"),
	STAGE(ipvs, "load balancing (IPVS)", .symbols = "ip_vs_*", .modules = "ip_vs*"),
	STAGE(defrag, "reassembly of fragments",
		.symbols = "ip_defrag ipv6_frag_rcv nf_ct_frag6_* inet_frag* ipv4_conntrack_defrag "
		"ipv6_defrag ip_check_defrag ip_expire ip6_frag_expire ip6frag_expire_frag_queue "
		"fqdir_*", .modules = "nf_defrag_ipv4 nf_defrag_ipv6"),
	STAGE(early_demux, "early socket lookup",
		.symbols = "tcp_v4_early_demux tcp_v6_early_demux udp_v4_early_demux "
		"udp_v6_early_demux ip4_early_demux"),
	STAGE(route_v4, "IPv4 routing",
		.symbols = "ip_route_input_noref ip_route_input_rcu ip_route_input_slow "
		"ip_route_use_hint __fib_lookup fib4_rule_action fib_validate_source "
		"__fib_validate_source ip_mkroute_input ip_route_output_* __mkroute_output "
		"fib_select_path fib_lookup_good_nhc rt_dst_alloc find_exception ipv4_dst_check "
		"rt_cache_route ipv4_mtu ip_dst_mtu_maybe_forward fib_multipath_hash fib_table_* "
		"fib_flush fib_sync_* fib_netdev_event fib_inetaddr_event fib_create_info "
		"fib_release_info fib_newrule fib_nl_newrule fib_delrule fib_nl_delrule"),
	STAGE(route_v6, "IPv6 routing",
		.symbols = "ip6_pol_route ip6_pol_route_input ip6_pol_route_output "
		"fib6_table_lookup fib6_lookup fib6_rule_lookup fib6_rule_action ip6_dst_check "
		"ip6_dst_lookup_tail ip6_dst_lookup_flow ip6_sk_dst_lookup_flow ip6_dst_lookup "
		"fib6_select_path fib6_node_lookup rt6_* ip6_rt_* ip6_mtu "
		"ip6_dst_mtu_maybe_forward ip6_route_* fib6_gc_timer_cb fib6_run_gc"),
	STAGE(multicast, "multicast routing",
		.symbols = "ip_mr_input ip_mr_forward ip6_mr_input ip6_mr_forward ipmr_* ip6mr_*"),
	/* mostly by RCU, after the packet: tunnels and IPsec make a route for each packet */
	STAGE(dst, "freeing routes",
		.symbols = "dst_destroy dst_destroy_rcu metadata_dst_free free_fib_info_rcu "
		"fib6_info_destroy_rcu"),
	/* walk_stages() adds these stages where a tail call has deleted their functions */
	STAGE(forward_v4, "IPv4 forwarding", .kind = NO_FORWARD,
		.symbols = "ip_forward ip_forward_finish ip_forward_options"),
	STAGE(forward_v6, "IPv6 forwarding", .kind = NO_FORWARD,
		.symbols = "ip6_forward ip6_forward_finish"),
	STAGE(local_v4, "IPv4 local delivery", .kind = NO_FORWARD,
		.symbols = "ip_local_deliver ip_local_deliver_finish ip_protocol_deliver_rcu"),
	STAGE(local_v6, "IPv6 local delivery", .kind = NO_FORWARD,
		.symbols = "ip6_input ip6_input_finish ip6_mc_input ip6_protocol_deliver_rcu"),
	STAGE(tcp_rx, "TCP, receiving", .kind = NO_FORWARD,
		.symbols = "tcp_v4_rcv tcp_v6_rcv tcp_v4_do_rcv tcp_v6_do_rcv tcp_rcv_established "
		"tcp_rcv_state_process tcp_data_queue tcp_ack tcp_add_backlog tcp_check_req "
		"tcp_conn_request tcp_child_process tcp_v4_syn_recv_sock tcp_v6_syn_recv_sock "
		"tcp_v4_conn_request tcp_v6_conn_request tcp_clean_rtx_queue tcp_data_ready "
		"tcp_try_coalesce tcp_queue_rcv tcp_validate_incoming tcp_fin tcp_time_wait "
		"tcp_timewait_state_process __release_sock tcp_ack_update_rtt tcp_filter "
		"tcp_inbound_*"),
	STAGE(udp_rx, "UDP, receiving", .kind = NO_FORWARD,
		.symbols = "udp_rcv __udp4_lib_rcv udpv6_rcv __udp6_lib_rcv udp_queue_rcv_skb "
		"udp_queue_rcv_one_skb udp_unicast_rcv_skb __udp_enqueue_schedule_skb "
		"udpv6_queue_rcv_skb udpv6_queue_rcv_one_skb udp6_unicast_rcv_skb "
		"__udp4_lib_mcast_deliver udp4_csum_init udp6_csum_init udp4_rcv udp6_rcv"),
	STAGE(socket_lookup, "finding the socket",
		.symbols = "__inet_lookup_established __inet6_lookup_established "
		"__inet_lookup_listener inet6_lookup_listener __udp4_lib_lookup __udp6_lib_lookup "
		"udp4_lib_lookup2 udp6_lib_lookup2 udp4_lib_lookup udp6_lib_lookup "
		"inet_lhash2_lookup inet6_lhash2_lookup inet_lookup_reuseport "
		"inet6_lookup_reuseport reuseport_select_sock udp_ehashfn inet_ehashfn "
		"inet6_ehashfn compute_score __inet6_lookup __inet_lookup"),
	STAGE(icmp, "ICMP", .kind = NO_FORWARD,
		.symbols = "icmp_rcv icmpv6_rcv __icmp_send icmp_reply icmp_echo icmp_push_reply "
		"icmp_unreach icmpv6_echo_reply icmp6_send ndisc_rcv igmp6_event_query ping_rcv "
		"ping_v4_sendmsg ping_v6_sendmsg ping_common_sendmsg ping_recvmsg ping_get_port "
		"ping_queue_rcv_skb nf_send_reset nf_send_reset6 nf_send_unreach nf_send_unreach6 "
		"nf_reject_* ndisc_recv_* ndisc_send_* ndisc_router_discovery ndisc_redirect_rcv "
		"igmp_* igmpv3_* mld_* ip_mc_join_group __ip_mc_join_group ip_mc_leave_group "
		"ip_mc_drop_socket ipv6_sock_mc_* __ipv6_sock_mc_* __ipv6_dev_mc_* ipv6_dev_mc_* "
		"ipv6_sock_ac_* igmp6_* ip6_mc_source ip6_mc_msfilter ip6_mc_add_src "
		"ip6_mc_del_src ip_mc_source ip_mc_msfilter ip_mc_join_group_ssm "
		"____ip_mc_inc_group"),
	STAGE(arp, "ARP", .kind = NO_FORWARD,
		.symbols = "arp_rcv arp_process arp_xmit arp_send arp_send_dst arp_create "
		"arp_fwd_proxy arp_ignore"),
	STAGE(raw, "raw sockets", .kind = NO_FORWARD,
		.symbols = "raw_local_deliver raw_rcv raw_sendmsg raw_recvmsg rawv6_rcv "
		"rawv6_sendmsg rawv6_recvmsg raw6_local_deliver raw_v4_input"),
	STAGE(tap, "packet sockets (tcpdump)",
		.symbols = "packet_rcv tpacket_rcv dev_queue_xmit_nit packet_rcv_spkt "
		"packet_rcv_fanout packet_sendmsg packet_recvmsg packet_snd tpacket_snd "
		"packet_poll packet_release run_filter prb_retire_rx_blk_timer_expired",
		.modules = "af_packet"),
	STAGE(socket, "the socket layer", .shared = true, .kind = GENERIC,
		.symbols = "inet_sendmsg inet6_sendmsg inet_recvmsg inet6_recvmsg inet_sendpage "
		"sock_common_recvmsg inet_stream_connect inet_dgram_connect inet_accept "
		"inet_shutdown inet_release inet6_release __inet_stream_connect __inet_accept "
		"sock_sendmsg __sock_sendmsg sock_recvmsg __sys_sendto __sys_recvfrom "
		"____sys_sendmsg ____sys_recvmsg sock_write_iter sock_read_iter sock_close "
		"__sock_release splice_to_socket inet_autobind inet_send_prepare"),
	STAGE(socket_free, "freeing sockets", .shared = true,
		.symbols = "__sk_destruct sk_destruct __sk_free"),
	STAGE(mptcp, "Multipath TCP", .symbols = "mptcp_* __mptcp_* subflow_*"),
	STAGE(sctp, "SCTP", .kind = NO_FORWARD, .symbols = "sctp_*", .modules = "sctp"),
	STAGE(family, "CAN, TIPC, RDS, SMC, ...", .kind = NO_FORWARD,
		.modules = "can can_raw can_bcm can_gw can_isotp can_j1939 tipc rds rds_tcp smc "
		"kcm rxrpc qrtr qrtr_* dccp dccp_* mac802154 ieee802154* 6lowpan llc llc2 x25 "
		"phonet caif* mctp"),
	STAGE(tls, "TLS in the kernel", .symbols = "tls_*", .modules = "tls"),
	STAGE(sockmap, "sockets joined by eBPF",
		.symbols = "tcp_bpf_* udp_bpf_* sk_psock_* sock_map_* sock_hash_*"),
	STAGE(tcp_recv, "TCP reads by programs",
		.symbols = "tcp_poll tcp_recvmsg tcp_recvmsg_locked tcp_cleanup_rbuf "
		"__tcp_cleanup_rbuf tcp_splice_read tcp_read_sock sk_wait_data tcp_eat_recv_skb "
		"tcp_rcv_space_adjust tcp_zerocopy_receive tcp_update_recv_tstamps"),
	STAGE(udp_recv, "UDP reads by programs",
		.symbols = "udp_recvmsg udpv6_recvmsg __skb_recv_udp skb_consume_udp "
		"udp_skb_destructor __udp_recv_* udp_poll first_packet_length "
		"__first_packet_length"),
	STAGE(connection, "connecting, binding, closing",
		.symbols = "raw_close raw_destroy udp_disconnect __udp_disconnect udp_lib_get_port "
		"udp_lib_unhash inet_csk_get_port tcp_v4_connect tcp_v6_connect tcp_connect "
		"tcp_close __tcp_close tcp_shutdown tcp_disconnect inet_csk_accept "
		"inet_hash_connect __inet_hash_connect inet_csk_destroy_sock inet_csk_listen_stop "
		"tcp_send_fin tcp_v4_destroy_sock udp_destroy_sock udpv6_destroy_sock "
		"udp_lib_close sk_common_release inet_sock_destruct inet6_sock_destruct "
		"ip4_datagram_connect __ip4_datagram_connect ip6_datagram_connect "
		"__ip6_datagram_connect udp_connect udpv6_connect inet_csk_complete_hashdance "
		"inet_csk_wait_for_connect inet_csk_clone_lock reqsk_timer_handler "
		"tw_timer_handler inet_twsk_kill inet_create inet6_create tcp_v4_init_sock "
		"tcp_v6_init_sock tcp_init_sock inet_bind inet_bind_sk __inet_bind inet6_bind "
		"inet6_bind_sk __inet6_bind inet_listen __inet_listen_sk inet_csk_listen_start "
		"inet_hash inet6_hash __inet_hash reuseport_alloc reuseport_add_sock "
		"udp_destruct_common udp_destruct_sock udpv6_destruct_sock tcp6_destruct_sock"),
	STAGE(sockopt, "socket options",
		.symbols = "do_tcp_setsockopt tcp_setsockopt tcp_sock_set_* do_tcp_getsockopt "
		"tcp_getsockopt tcp_get_info do_ip_setsockopt ip_setsockopt do_ip_getsockopt "
		"ip_getsockopt do_ipv6_setsockopt ipv6_setsockopt do_ipv6_getsockopt "
		"ipv6_getsockopt udp_setsockopt udpv6_setsockopt udp_lib_setsockopt"),
	STAGE(tcp_tx, "TCP, sending",
		.symbols = "tcp_sendmsg tcp_sendmsg_locked tcp_push tcp_write_xmit "
		"__tcp_push_pending_frames __tcp_transmit_skb __tcp_send_ack tcp_send_ack "
		"tcp_tsq_handler tcp_tasklet_func tcp_tsq_workfn tcp_stream_alloc_skb "
		"sk_stream_alloc_skb tcp_wmem_schedule sk_stream_wait_memory tcp_sendpage "
		"tcp_sendpage_locked do_tcp_sendpages tcp_push_one tcp_release_cb "
		"tcp_retransmit_skb __tcp_retransmit_skb tcp_xmit_retransmit_queue tcp_send_mss "
		"tcp_current_mss tcp_established_options tcp_options_write tcp_v4_send_check "
		"tcp_write_timer tcp_delack_timer tcp_keepalive_timer tcp_v4_send_synack "
		"tcp_v6_send_synack tcp_v6_send_response tcp_make_synack tcp_event_new_data_sent "
		"tcp_schedule_loss_probe tcp_mtu_probe tcp_send_active_reset tcp_v4_send_reset "
		"tcp_v4_send_ack"),
	STAGE(udp_tx, "UDP, sending",
		.symbols = "udp_sendmsg udpv6_sendmsg udp_send_skb udp_v6_send_skb udp_sendpage "
		"udp_push_pending_frames"),
	STAGE(output_v4, "IPv4 output",
		.symbols = "ip_local_out __ip_local_out ip_queue_xmit __ip_queue_xmit ip_output "
		"ip_finish_output __ip_finish_output ip_finish_output2 ip_do_fragment ip_fragment "
		"ip_send_skb ip_mc_output ip_send_unicast_reply ip_build_and_send_pkt "
		"ip_push_pending_frames"),
	STAGE(output_v6, "IPv6 output",
		.symbols = "ip6_xmit ip6_output ip6_finish_output __ip6_finish_output "
		"ip6_finish_output2 ip6_fragment ip6_local_out __ip6_local_out ip6_send_skb "
		"inet6_csk_xmit ip6_push_pending_frames"),
	STAGE(neighbour, "neighbours (ARP, NDP tables)",
		.symbols = "__neigh_event_send __neigh_create arp_solicit ndisc_solicit "
		"__neigh_update ___neigh_create ip_neigh_* neigh_*"),
	STAGE(qdisc, "queueing disciplines", .kind = NO_FORWARD,
		.symbols = "__dev_queue_xmit dev_queue_xmit dev_qdisc_enqueue __qdisc_run "
		"qdisc_run_end sch_direct_xmit pfifo_fast_enqueue pfifo_fast_dequeue "
		"fq_codel_enqueue fq_codel_dequeue fq_enqueue fq_dequeue qdisc_dequeue_head "
		"netdev_core_pick_tx netdev_pick_tx dequeue_skb qdisc_restart noqueue_enqueue "
		"qdisc_watchdog* dev_watchdog htb_*", .modules = "sch_*"),
	STAGE(gso, "segmentation (GSO)",
		.symbols = "validate_xmit_skb validate_xmit_skb_list __skb_gso_segment "
		"skb_gso_segment skb_segment tcp_gso_segment skb_mac_gso_segment inet_gso_segment "
		"ipv6_gso_segment tcp4_gso_segment tcp6_gso_segment udp4_ufo_fragment "
		"__udp_gso_segment netif_skb_features skb_checksum_help skb_csum_hwoffload_help "
		"tcp_gso_tstamp"),
	STAGE(driver_tx, "sending in a card's driver", .kind = POINTER,
		.symbols = "dev_hard_start_xmit xmit_one __dev_direct_xmit packet_direct_xmit "
		"packet_xmit loopback_xmit veth_xmit netpoll_*", .callers = "bq_xmit_all"),
	/* these run others' programs at hooks that no other stage has */
	STAGE(bpf, "others' eBPF programs", .kind = POINTER,
		.symbols = "__cgroup_bpf_run_filter_skb __cgroup_bpf_run_filter_sk "
		"__cgroup_bpf_run_filter_sock_addr __cgroup_bpf_run_filter_sock_ops "
		"__bpf_prog_run_save_cb bpf_prog_run_save_cb bpf_run_sk_reuseport run_lwt_bpf "
		"bpf_lwt_xmit bpf_input bpf_output bpf_xmit",
		.callers = "sk_filter_trim_cap reuseport_select_sock netkit_xmit "
		"sk_psock_msg_verdict sk_psock_verdict_recv sk_psock_strp_read "
		"sk_psock_strp_parse"),
	/* also network namespaces that begin or end, and devices whose link changes */
	STAGE(device, "devices and addresses change",
		.symbols = "cleanup_net linkwatch_* netdev_run_todo unregister_netdevice_* "
		"register_netdevice __dev_open __dev_close_many dev_deactivate_many copy_net_ns "
		"setup_net dev_change_net_namespace __dev_change_net_namespace addrconf_* "
		"ipv6_add_addr ipv6_del_addr inet6_addr_* inet_rtm_newaddr inet_rtm_deladdr "
		"__inet_insert_ifa __inet_del_ifa"),
	STAGE(lsm, "security modules", .shared = true,
		.symbols = "security_* selinux_* apparmor_* aa_* smack_* bpf_lsm_* tomoyo_*"),
	STAGE(interrupt, "interrupt handlers", .shared = true,
		.symbols = "asm_common_interrupt common_interrupt __common_interrupt asm_sysvec_* "
		"sysvec_* handle_irq_event handle_edge_irq handle_fasteoi_irq el1_interrupt "
		"el1h_64_irq* el1t_64_irq* el0_interrupt gic_handle_irq do_IRQ"),
	/* the kernel runs programs that trace by these; classify() adds netto's programs */
	STAGE(tracing, "tracing, netto's and others'", .shared = true,
		.symbols = "[tracing] __bpf_prog_enter* __bpf_prog_exit* bpf_trace_run* "
		"__bpf_trace_* __traceiter_* ___bpf_prog_run __bpf_prog_run* trace_call_bpf "
		"kprobe_* kretprobe_* __kretprobe_* rethook_* arch_rethook_* trampoline_handler "
		"trampoline_probe_handler __bpf_tramp_* ftrace_trampoline ftrace_call* "
		"ftrace_regs_* ftrace_ops_* arch_ftrace_ops_list_func fprobe_* "
		"function_graph_enter* ftrace_graph_func aggr_pre_handler opt_pre_handler "
		"brk_handler call_break_hook do_debug_exception el1_dbg bpf_probe_read_kernel*",
		.callers = "ktime_get_mono_fast_ns"),
	STAGE(unknown, "no known function", .shared = true),
};

static const struct name_list activities[ACTIVITIES] = {
	[ACTIVITY_SKB_ALLOC] = { "skb_alloc",
		"__alloc_skb napi_alloc_skb __napi_alloc_skb __netdev_alloc_skb build_skb "
		"napi_build_skb __build_skb __build_skb_around kmalloc_reserve page_pool_alloc_* "
		"sock_alloc_send_pskb alloc_skb_with_frags skb_clone pskb_expand_head skb_copy "
		"__pskb_copy_fclone skb_page_frag_refill sk_page_frag_refill sock_alloc_send_skb "
		"sock_wmalloc napi_get_frags" },
	[ACTIVITY_SKB_FREE] = { "skb_free",
		"kfree_skb nf_conntrack_put __kfree_skb_flush kfree_skb_reason sk_skb_reason_drop "
		"consume_skb napi_consume_skb __kfree_skb skb_release_data skb_release_head_state "
		"skb_release_all __kfree_skb_defer __napi_kfree_skb napi_skb_cache_put "
		"skb_defer_free_flush skb_attempt_defer_free page_pool_put_* __xdp_return "
		"tcp_wfree sock_wfree sock_rfree skb_free_head kfree_skbmem kfree_skb_list_reason "
		"__consume_stateless_skb kfree_skb_list kfree_skb_partial skb_free_datagram "
		"__dev_kfree_skb_any dev_kfree_skb_any_reason __sk_defer_free_flush "
		"sk_defer_free_flush tcp_eat_skb napi_skb_free_stolen_head" },
	[ACTIVITY_COPY] = { "copy",
		"_copy_to_iter _copy_from_iter copy_from_user copy_to_user skb_copy_datagram_iter "
		"__skb_datagram_iter skb_copy_bits skb_copy_datagram_from_iter copyin copyout "
		"_copy_from_iter_full copy_user_generic* copy_user_enhanced_fast_string "
		"rep_movs_alternative skb_copy_and_csum_* csum_and_copy_* skb_zerocopy_iter_* "
		"__copy_skb_header copy_page_to_iter copy_page_from_iter simple_copy_to_iter "
		"__arch_copy_* _copy_from_user _copy_to_user" },
	[ACTIVITY_WAKE_UP] = { "wake_up",
		"sock_def_readable sk_stream_write_space sock_def_write_space __wake_up_sync_key "
		"__wake_up __wake_up_common __wake_up_common_lock ep_poll_callback try_to_wake_up "
		"default_wake_function autoremove_wake_function receiver_wake_function pollwake "
		"sock_def_wakeup wake_up_process ttwu_*" },
	[ACTIVITY_CHECKSUM] = { "checksum",
		"csum_partial __skb_checksum skb_checksum __skb_checksum_complete "
		"__skb_checksum_complete_head csum_partial_copy_nocheck nf_ip_checksum "
		"nf_ip6_checksum nf_checksum inet_proto_csum_replace* do_csum ip_fast_csum "
		"ip_compute_csum" },
	/* unlocking is left out: it takes the samples of cpu-clock that were due while interrupts
	   were off */
	[ACTIVITY_LOCK] = { "lock",
		"_raw_spin_lock _raw_spin_lock_bh _raw_spin_lock_irqsave _raw_spin_lock_irq "
		"_raw_read_lock _raw_read_lock_bh _raw_write_lock_bh queued_spin_lock_slowpath "
		"native_queued_spin_lock_slowpath __pv_queued_spin_lock_slowpath "
		"queued_read_lock_slowpath queued_write_lock_slowpath rt_spin_lock "
		"lock_sock_nested __lock_sock __lock_sock_fast mutex_lock __mutex_lock "
		"rtlock_slowlock* rt_mutex_*" },
	[ACTIVITY_SCHEDULE] = { "schedule",
		"schedule irqentry_exit irqentry_exit_cond_resched arm64_preempt_schedule_irq "
		"__schedule schedule_timeout preempt_schedule preempt_schedule_common "
		"preempt_schedule_irq preempt_schedule_notrace __cond_resched finish_task_switch "
		"wait_woken schedule_rtlock" },
};
/* clang-format on */
