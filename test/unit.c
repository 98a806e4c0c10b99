// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of netto.c, which this file includes whole. They need neither root nor eBPF.
 *
 *	unit				runs all tests
 *	unit NAME			runs the test of this name
 *	unit short|table|csv|folded	prints this report of made-up results, for test/golden
 *	unit record			prints stacks for test/stacks, as root, until a signal
 *
 * A new test is a function test_NAME(), and NAME in tests[] at the end. A new stack is a line in
 * test/stacks/made-up.txt. What test/golden or test/fuzz.c checks is not checked here again.
 *
 * 1. Checks
 * 2. Command line
 * 3. Kernels and stacks of test/stacks
 * 4. Made-up results
 * 5. Arithmetic and printers
 * 6. Samples
 * 7. Kernel symbols and tables
 * 8. Classified stacks
 * 9. Recording stacks
 */
#define main netto_main
#include "../netto.c"
#undef main

#include <ctype.h>
#include <glob.h>

/* ==== 1. Checks ==== */

static const char *test; /* the name of the test that runs */
static int passed, failed;
static struct netto *skel; /* opened, but not loaded: for the names of the events */

/* Counts a check. If the check fails, the text behind it is printed, which says what was seen. */
#define CHECK(what, ...)                                                                           \
	do {                                                                                       \
		passed += !!(what);                                                                \
		if (what)                                                                          \
			break;                                                                     \
		failed++;                                                                          \
		printf("FAIL: unit: %s: %s: ", test, #what);                                       \
		printf(__VA_ARGS__);                                                               \
		putchar('\n');                                                                     \
	} while (0)

/* Checks a whole number. */
#define SAME(seen, wanted) check_number(#seen, seen, wanted)

static void check_number(const char *of, int64_t seen, int64_t wanted)
{
	CHECK(seen == wanted, "%s is %" PRId64 ", not %" PRId64, of, seen, wanted);
}

static void check_text(const char *of, const char *seen, const char *wanted)
{
	CHECK(!strcmp(seen, wanted), "'%s' gives '%s', not '%s'", of, seen, wanted);
}

/*
 * Checks a function from text to text. A case is "INPUT => OUTPUT". A case without an arrow is an
 * input alone, with the output of the case before it.
 */
#define CASES(function, ...) check_cases(function, (const char *const[]) { __VA_ARGS__, NULL })

static void check_cases(const char *(*function)(const char *), const char *const *cases)
{
	const char *output = NULL;
	char input[256];

	for (; *cases; cases++) {
		char *arrow;

		FORMAT(input, "%s", *cases);
		arrow = strstr(input, " => ");
		if (arrow) {
			*arrow = 0;
			output = *cases + strlen(input) + 4;
		}
		check_text(input, function(input), output);
	}
}

/* A text for such a function to return. The next call overwrites it. */
__attribute__((format(printf, 1, 2))) static const char *sformat(const char *format, ...)
{
	static char text[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

static const char *event_name(int event)
{
	return event == EV_NONE ? "-" : (const char *)skel->rodata->events[event].name;
}

/* The event whose name a text begins with; EV_NONE if there is none. A space ends the name. */
static int find_event(const char *text)
{
	size_t length = strcspn(text, " ");

	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		if (strlen(event_name(e)) == length && !memcmp(event_name(e), text, length))
			return e;
	return EV_NONE;
}

/* ==== 2. Command line ==== */

/* "LAST: LIST": what parse_cpus() returns, and the CPUs that it marks as format_cpus() has them. */
static const char *cpus_text(const char *list)
{
	bool cpus[MAX_CPUS + 1] = {};
	char marked[16];
	int last = parse_cpus(list, cpus);

	SAME(parse_cpus(list, NULL), last);
	format_cpus(cpus, marked, sizeof(marked));
	return sformat("%d: %s", last, marked);
}

static void test_parse_cpus(void)
{
	_Static_assert(MAX_CPUS == 1024, "for 0-2047");
	CASES(cpus_text, "0\n => 0: 0", "0-3\n => 3: 0-3", "1,3\n => 3: 1,3",
	      "0-1,4-5,7 => 7: 0-1,4-5,7", "0,2-127\n => 127: 0,2-127", "0-2047 => 2047: 0-1023",
	      "3,1 => -1: 3");
	CASES(cpus_text, " => -1: ", "\n", "9999999999999999999", "4294967295", "0-2147483647",
	      "3-1", "3--5");
	/* append() leaves out a number that has no room, and cuts none */
	CASES(cpus_text, "100,102,104,106 => 106: 100,102,104,106",
	      "100,102,104,1006 => 1006: 100,102,104");
}

/* The options that a command line sets to another value than the default, as NAME=VALUE. */
static const char *options_text(const char *line)
{
	static typeof(opt) defaults;
	static char text[256], copy[256];
	char *argv[16] = { "netto" };
	int argc = 1;

	if (!defaults.seconds)
		defaults = opt;
	opt = defaults;
	optind = 0;
	strcpy(copy, line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	if (parse_options(argc, argv) != -1)
		return "refused";

	const struct {
		const char *name;
		double value, usual;
	} numbers[] = {
		{ "seconds", opt.seconds, 10 }, { "count", opt.count, 1 },
		{ "csv", opt.csv, 0 },		{ "verbose", opt.verbose, 0 },
		{ "folded", opt.folded, 0 },	{ "full", opt.full, 0 },
		{ "freq", opt.freq, 997 },	{ "stacks", opt.stacks, UINT_MAX },
		{ "tasks", opt.tasks, 0 },	{ "mode", opt.mode, AUTO },
	};

	text[0] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		if (numbers[i].value != numbers[i].usual)
			APPEND(text, " %s=%.10g", numbers[i].name, numbers[i].value);
	if (opt.output)
		APPEND(text, " output=%s", opt.output);
	if (opt.command)
		APPEND(text, " command=%s", opt.command[0]);
	return text + !!text[0];
}

static void test_parse_options(void)
{
	CASES(options_text, " => ", "5 => seconds=5", ".5 007 => seconds=0.5 count=7",
	      "-c 1 0 => seconds=1 count=0 csv=1", "1 3 -cv => seconds=1 count=3 csv=1 verbose=1",
	      "--csv --verbose => csv=1 verbose=1", "-f 2 => seconds=2 folded=1", "-l => full=1",
	      "--folded => folded=1", "-F 4000 => freq=4000", "-F0 => freq=0",
	      "--freq=100000 -s 0 => freq=100000 stacks=0",
	      "--freq 1 --stacks 1000000000 => freq=1 stacks=1000000000",
	      "-cs3 1 => seconds=1 csv=1 stacks=3", "-m trace -F 0 => freq=0 mode=1",
	      "-msample => mode=2", "-t 7 => tasks=7", "--tasks=0 -o out 3 => seconds=3 output=out",
	      "-co out -- a -b => seconds=31622400 csv=1 output=out command=a",
	      "-- -1 => seconds=31622400 command=-1", "-- a -- b => seconds=31622400 command=a");
	/* commands, options, SECONDS and COUNT */
	CASES(options_text, "-- => refused", "-c --", "5 -- a", "-o -- a", "-x", "--nope",
	      "--csv=yes", "0", "1 -5", "1 2 3", "1 1.5", "ten", "99999999", "+1", "\t1", "1\t",
	      "1s", "1e3", "0x10", "inf", "nan", "1.2.3", ".", "1 99999999999999999999");
	/* options that exclude each other; values */
	CASES(options_text, "-c -f => refused", "--folded 1 --csv", "-f -F 0", "-m sample -F 0",
	      "-o", "-t x", "-m", "-m all", "-F", "--freq", "--freq=", "-F 100001", "-F 1.5",
	      "-F -1", "-F fast", "-F 99999 -F x", "-F x -F 1", "-s", "-s all", "-s 1000000001");
	options_text(""); /* the defaults again */
}

/* ==== 3. Kernels and stacks of test/stacks ==== */

static struct symbols symbols;

/* Lets netto.c read these lines of kallsyms. Returns 0 or -errno. */
static int read_lines(const char *lines)
{
	int fd = memfd_create("kallsyms", 0), err = -EIO;

	if (write(fd, lines, strlen(lines)) >= 0)
		err = prepare_classifying(&symbols, fd);
	close(fd);
	return err;
}

enum { MANY = 1000, FUNCTION_SIZE = 0x100, PADDING = 0x10 };

/* The lines of a file of test/stacks. */
static struct example {
	const char *word;  /* the word that stands for these frames; NULL: this is a stack */
	const char *owner; /* NULL: not known */
	const char *frames, *told;
	uint64_t words[1 + MAX_DEPTH]; /* the stack as the kernel side records it */
} examples[MANY];
static int example_count;

/* The kernel of these stacks. A function gets its address when it is first named. */
static struct {
	struct function {
		char names[128];  /* NAME, NAME[MODULE], either with =ALIAS... */
		uint64_t address; /* 0: this entry is free */
	} functions[MANY];
	int count;
	bool padded; /* functions have symbols for the padding before them */
} kernel;

/* What a word stands for, or NULL. The words come first in their file. */
static const struct example *find_word(const char *word, size_t length)
{
	for (struct example *e = examples; e < examples + example_count && e->word; e++)
		if (strlen(e->word) == length && !memcmp(e->word, word, length))
			return e;
	return NULL;
}

/* The address of a frame, as test/stacks/made-up.txt describes frames. */
static uint64_t frame_address(const char *frame, size_t length)
{
	bool end = frame[length - 1] == '!', start = frame[length - 1] == '^';
	bool padding = !strncmp(frame, "__pfx_", 6);
	struct function *f = kernel.functions;

	if (*frame == '@')
		return strtoull(frame + 1, NULL, 16);
	frame += padding ? 6 : 0;
	length -= (end || start) + (padding ? 6 : 0);
	while (f->address && (strncmp(f->names, frame, length) || f->names[length]))
		f++;
	if (!f->address) {
		FORMAT(f->names, "%.*s", (int)length, frame);
		f->address = strchr(f->names, '[') ? 0xffffffffc0100000 : 0xffffffff81000000;
		f->address += kernel.count++ * FUNCTION_SIZE;
	}
	if (padding)
		return f->address - PADDING / 2;
	if (start)
		return f->address;
	if (end)
		return f->address + FUNCTION_SIZE - (kernel.padded ? PADDING : 0);
	return f->address + FUNCTION_SIZE / 2;
}

/* The addresses of frames and words. Returns how many there are. */
static int stack_addresses(const char *frames, uint64_t *addresses)
{
	int depth = 0;

	for (size_t length; *frames; frames += length, frames += strspn(frames, " ")) {
		const struct example *e = find_word(frames, length = strcspn(frames, " "));

		if (e)
			depth += stack_addresses(e->frames, addresses + depth);
		else
			addresses[depth++] = frame_address(frames, length);
	}
	return depth;
}

static const char *module_of(const struct function *f)
{
	return strchr(f->names, '[') ?: "";
}

static int compare_modules(const void *a, const void *b)
{
	return strcmp(module_of(a), module_of(b));
}

/* Lets netto.c read all functions that were named, module by module as in kallsyms. */
static void read_kernel(void)
{
	char *lines = NULL, names[128];
	size_t length;
	FILE *f = open_memstream(&lines, &length);

	qsort(kernel.functions, kernel.count, sizeof(kernel.functions[0]), compare_modules);
	for (int i = 0; i < kernel.count; i++) {
		const struct function *function = &kernel.functions[i];
		const char *module = module_of(function), *tab = *module ? "\t" : "";

		FORMAT(names, "%.*s", (int)strcspn(function->names, "["), function->names);
		if (kernel.padded)
			fprintf(f, "%" PRIx64 " t __%s_%.*s%s%s\n", function->address - PADDING,
				*module ? "cfi" : "pfx", (int)strcspn(names, "="), names, tab,
				module);
		for (char *name = strtok(names, "="); name; name = strtok(NULL, "="))
			fprintf(f, "%" PRIx64 " t %s%s%s\n", function->address, name, tab, module);
	}
	fputs("ffffffffc0000000 t last\t[last]\n", f);
	fclose(f);
	SAME(read_lines(lines), 0);
	free(lines);
}

/* Cuts a text in two. Returns the first half, or NULL if the text is whole. */
static char *cut(char **text, const char *where)
{
	char *first = *text, *at = strstr(first, where);

	if (!at)
		return NULL;
	*at = 0;
	*text = at + strlen(where);
	return first;
}

/* Reads the stacks of a file, and lets netto.c read a kernel that has the functions in them. */
static void read_stacks(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL; /* the examples point into it */
	size_t room = 0;

	if (!f || getdelim(&text, &room, 0, f) <= 0) {
		printf("FAIL: unit: %s: there is none, or it is empty\n", path);
		exit(1);
	}
	fclose(f);
	example_count = 0;
	memset(&kernel, 0, sizeof(kernel));
	kernel.padded = !strstr(path, "5.10");
	for (char *line; (line = cut(&text, "\n"));) {
		struct example *e = &examples[example_count];

		if (!*line || *line == '#')
			continue;
		e->word = cut(&line, " = ");
		e->owner = cut(&line, ": ");
		e->frames = cut(&line, " => ") ?: line;
		e->told = e->frames != line ? line : "";
		example_count++;
	}
	for (struct example *e = examples; e < examples + example_count; e++)
		e->words[0] = stack_addresses(e->frames, e->words + 1) << 8 |
			      (e->owner ? find_event(e->owner) : EV_NONE);
	read_kernel();
}

/* ==== 4. Made-up results ==== */

/* The two marks of a made-up result, and the result. The next made-up result overwrites them. */
static struct marks a, b;
static struct result r;

/* A result of which only the time and the host are known. All CPUs were online at both marks. */
static void begin_result(void)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&r, 0, sizeof(r));
	memset(a.online, true, sizeof(a.online));
	memset(b.online, true, sizeof(b.online));
	b.time = 1700000000.5;
	strcpy(r.host.nodename, "edge-1");
}

/* Both marks know these counts of /proc. */
static void know_counts(int first, int last)
{
	for (int i = first; i <= last; i++)
		a.counted[i] = b.counted[i] = true;
}

static void set_events(int first, int last, int source, const char *hook)
{
	for (int e = first; e <= last; e++) {
		r.events[e].name = event_name(e);
		r.events[e].net = skel->rodata->events[e].net;
		r.events[e].source = source;
		strcpy(r.events[e].hook, hook);
		r.profile.from_samples[e] = source == SAMPLED;
	}
}

/* The samples of made-up-profile.txt, as if they had been read from the kernel side. */
static void make_up_profile(void)
{
	static struct raw raws[64];
	struct profile *p = &r.profile;

	read_stacks("test/stacks/made-up-profile.txt");
	p->hz = 997;
	p->clock = "cpu-clock";
	p->max_depth = MAX_DEPTH;
	p->lost = 2;
	p->not_taken = 4;
	p->raws = raws;
	p->raw_count = 1;
	for (struct example *e = examples; e < examples + example_count; e++) {
		struct raw *raw = &raws[p->raw_count];
		int event = e->words[0] & 255;

		if (e->word)
			continue;
		*raw = (struct raw) { .words = e->words };
		sscanf(e->owner, "%*s %hu %u", &raw->cpu, &raw->count);
		if (p->from_samples[EV_OTHER]) { /* no hooks: softirqs interrupt the idle task */
			event = event == EV_RX_SOFTIRQ || event == EV_SOFTIRQ ? EV_IDLE : EV_OTHER;
			e->words[0] = (e->words[0] & ~255ull) | event;
		}
		p->raw_count++;
	}
	p->symbols = &symbols;
	classify_raws(p);
}

/* What NAPI had polled until a mark: queues, a backlog, and what found no place. */
static void make_up_polled(struct marks *m, unsigned times)
{
	static const struct {
		int cpu, place;
		const char *name;
		uint32_t id;
		bool other; /* of another network namespace */
		uint64_t ns, polls, packets;
	} places[] = {
		{ 0, 3, "eth0", 8195, false, 900000000, 40000, 250000 },
		{ 0, 0, "", 0, false, 300000000, 20000, 50000 },
		{ 3, 4, "eth0", 8196, false, 5000000000, 500000, 600000 },
		{ 3, 5, "eth0", 8197, true, 1000000000, 1000, 64000 },
		{ 3, 6, "e\033[31m,\"\\x", 8198, false, 100000, 10, 10 },
		{ 3, POLLED_ROOM - 1, "", 0, false, 50000, 5, 0 },
		{ 3, 7, "not polled", 8199, false, 0, 0, 0 },
	};

	m->polled = calloc(4, sizeof(*m->polled)); /* never freed */
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		typeof(m->polled->places[0]) *p = &m->polled[places[i].cpu].places[places[i].place];

		strcpy(p->name, places[i].name);
		p->id = places[i].id;
		p->net = places[i].other ? 4026532291 : own_network();
		p->ns = times * places[i].ns;
		p->polls = times * places[i].polls;
		p->packets = times * places[i].packets;
	}
}

/* Between the marks sshd did nothing, nginx did more, and two processes came. */
static void make_up_processes(void)
{
	static struct process before[] = {
		{ 17, { "sshd", { [EV_SEND] = 10 }, { [EV_SEND] = 1 } } },
		{ 42, { "nginx", { [EV_SEND] = 5 }, { [EV_SEND] = 1 } } },
	}, after[] = {
		{ 17, { "sshd", { [EV_SEND] = 10 }, { [EV_SEND] = 1 } } },
		{ 42, { "nginx", { [EV_SEND] = 300000005, [EV_CONN] = 2000 },
			{ [EV_SEND] = 20001, [EV_CONN] = 2 } } },
		{ 4242, { "a,\"b\"\n\033[2J\xe9 /:",
			  { [EV_RECV] = 300000000, [EV_SEND] = 250000000, [EV_BUSY_POLL] = 7 },
			  { [EV_RECV] = 20011, [EV_SEND] = 10010, [EV_BUSY_POLL] = 1 } } },
		{ 4243, { "third", { [EV_RECV] = 3 }, { [EV_RECV] = 1 } } },
	};

	a.processes = before;
	a.process_count = ARRAY_SIZE(before);
	b.processes = after;
	b.process_count = ARRAY_SIZE(after);
	b.tasks_lost = 12;
	b.tasks_lost_ns = 345678;
}

/* What only a host tells that traces operations. */
static void make_up_operations(void)
{
	a.stolen_ns = 100000000;
	b.stolen_ns = 700000000;
	know_counts(PROCESSED, RPS);
	for (int i = PROCESSED; i <= RPS; i++) {
		a.cpu[0].counts[i] = 4294967290; /* the difference crosses 32 bits */
		b.cpu[0].counts[i] = a.cpu[0].counts[i] + (i == PROCESSED ? 300000 : 9);
	}
	b.cpu[3].counts[PROCESSED] = 700000;
	a.energy_uj = 5e6;
	b.energy_uj = 455000000.4;
	r.has_energy = r.has_tasks = r.has_parts = b.has_recursion_misses = true;
	r.device_hook = "tp_btf:napi_poll";
	b.cpu[0].unreturned = 2;
	b.cpu[0].unreturned_ns = 7000000;
	b.cpu[0].parts_ns[PART_IDLE] = 420000000;
	b.cpu[3].parts_ns[PART_KSOFTIRQD] = 7000000000;
	b.cpu[0].longest_ns[EV_RX_SOFTIRQ] = 1234567;
	b.cpu[0].longest_ns[EV_SOFTIRQ] = 54321;
	b.cpu[3].longest_ns[EV_RX_SOFTIRQ] = 7654321;
	make_up_polled(&a, 1);
	make_up_polled(&b, 2);
	make_up_processes();
	set_events(EV_RECV, EV_CONN, TRACED, r.events[EV_RX_SOFTIRQ].hook);
	set_events(EV_NET_OTHER, EV_NET_OTHER, SAMPLED, "perf_event:cpu-clock");
}

/* Three CPUs: 0 is busy, 1 was plugged in meanwhile, 3 has a residual; there is no CPU 2. */
static const struct result *made_up_result(bool operations)
{
	begin_result();
	a.cpu[0].wall_ns = 5000;
	a.cpu[0].ns[EV_OTHER] = 4000;
	a.cpu[0].ns[EV_IDLE] = a.cpu[3].ns[EV_IDLE] = a.cpu[3].wall_ns = 1000;
	b.cpu[0] = (struct times) {
		.wall_ns = 10000005000,
		.ns = { [EV_RX_SOFTIRQ] = 1420000000, [EV_TX_SOFTIRQ] = 10000000,
			[EV_RECV] = 300000000, [EV_SEND] = 550000000, [EV_SOFTIRQ] = 20000000,
			[EV_OTHER] = 850004000, [EV_IDLE] = 6850001000 },
		.count = { [EV_RX_SOFTIRQ] = 70001, [EV_TX_SOFTIRQ] = 11, [EV_RECV] = 20011,
			   [EV_SEND] = 30011, [EV_CONN] = 2, [EV_SOFTIRQ] = 4001,
			   [EV_IDLE] = 90001 },
		.lost = 3,
	};
	b.cpu[1] = (struct times) { .wall_ns = 4000000000, .ns = { [EV_IDLE] = 4000000000 },
				    .count = { [EV_IDLE] = 7 }, .unseen_ns = 2500000000 };
	b.cpu[3] = (struct times) { .wall_ns = 10000001000,
				    .ns = { [EV_RX_SOFTIRQ] = 9999999950, [EV_IDLE] = 1001 },
				    .count = { [EV_RX_SOFTIRQ] = 4294967311 } };
	b.user_ns = 1000000;
	b.kernel_ns = 2345678;
	b.recursion_misses = 5;
	set_events(EV_RX_SOFTIRQ, EV_IDLE, TRACED, "fentry:inet_one+inet_two");
	set_events(EV_RECV, EV_IO_WORKER, UNMEASURED, "none:");
	r.host = (struct utsname) { .sysname = "Linux", .nodename = "a \"b\",c",
				    .release = "6.12.107", .machine = "x86_64" };
	if (operations) {
		strcpy(r.host.nodename, "edge-1");
		make_up_operations();
	}
	subtract_marks(&b, &a, &r);
	if (operations) {
		make_up_profile();
		share_out(&r);
	}
	return &r;
}

/* Sample mode on two CPUs. By /proc, CPU 0 is idle a third of the time, and CPU 3 all the time. */
static const struct result *made_up_sampled(void)
{
	begin_result();
	a.cpu[0].proc_idle_ns = a.cpu[3].proc_idle_ns = 1000;
	b.cpu[0].wall_ns = b.cpu[0].ns[EV_OTHER] = 10000000000;
	b.cpu[3] = b.cpu[0];
	b.cpu[0].proc_idle_ns = 3300001000;
	b.cpu[3].proc_idle_ns = 20000001000;
	b.cpu[0].counts[PROCESSED] = 1000000;
	know_counts(PROCESSED, PROCESSED);
	set_events(EV_RX_SOFTIRQ, EV_IDLE, SAMPLED, "perf_event:cpu-clock");
	set_events(EV_HARDIRQ, EV_HARDIRQ, UNMEASURED, "none:");
	set_events(EV_IDLE, EV_IDLE, COUNTED, "perf_event:cpu-clock");
	subtract_marks(&b, &a, &r);
	make_up_profile();
	share_out(&r);
	return &r;
}

/*
 * A host that is known from /proc alone, which counts ticks, and no drops. CPU 0 is busy. One
 * thread has less than 1 % of a CPU, one polls, and one did nothing.
 */
static const struct result *made_up_accounted(void)
{
	static struct thread before[] = {
		{ 15, 0, 1050000000, "ksoftirqd/0", "0", false },
		{ 77, 0, 2500000000, "napi/eth0-8193", "0-1", true },
		{ 78, 1, 40000000, "napi/eth0-8194", "0-1", true },
	}, after[] = {
		{ 15, 0, 1100000000, "ksoftirqd/0", "0", false },
		{ 77, 0, 5000000000, "napi/eth0-8193", "0-1", true },
		{ 78, 1, 40000000, "napi/eth0-8194", "0-1", true },
	};

	begin_result();
	know_counts(RX_SOFTIRQS, RPS);
	a.counted[DROPPED] = false;
	for (int cpu = 0; cpu < 2; cpu++) {
		a.cpu[cpu].accounted_ns = a.cpu[cpu].soft_ns = a.cpu[cpu].proc_idle_ns = 5000000000;
		b.cpu[cpu].accounted_ns = 14990000000;
		b.cpu[cpu].soft_ns = cpu ? 5020000000 : 9000000000;
		b.cpu[cpu].proc_idle_ns = cpu ? 14970000000 : 5500000000;
		b.cpu[cpu].wall_ns = b.cpu[cpu].ns[EV_OTHER] = 10000000000;
		for (int i = 0; i < COUNTS; i++) {
			a.cpu[cpu].counts[i] = 4294967290 - cpu; /* and over 32 bits */
			b.cpu[cpu].counts[i] = a.cpu[cpu].counts[i] + 1000 * i + 7;
			if (i < PROCESSED)
				b.cpu[cpu].counts[i] = (uint32_t)b.cpu[cpu].counts[i];
		}
	}
	a.threads = before;
	b.threads = after;
	a.thread_count = b.thread_count = ARRAY_SIZE(after);
	set_events(EV_RX_SOFTIRQ, EV_SOFTIRQ, UNMEASURED, "none:");
	set_events(EV_OTHER, EV_IDLE, COUNTED, "procfs:stat");
	r.accounted = true;
	subtract_marks(&b, &a, &r);
	share_out(&r);
	return &r;
}

/* The time of a router's CPU. In trouble, it has all that notes are made of. */
static struct times router_times(uint64_t rx_ns, uint64_t other_ns, bool trouble)
{
	struct times t = { .wall_ns = 10000000000,
			   .count = { [EV_RX_SOFTIRQ] = 1000, [EV_SEND] = 1000 } };

	t.ns[EV_RX_SOFTIRQ] = rx_ns;
	t.ns[EV_SEND] = rx_ns / 100;
	t.ns[EV_OTHER] = other_ns;
	t.ns[EV_IDLE] = t.wall_ns - sum_ns((const __u64 *)t.ns);
	t.counts[PROCESSED] = rx_ns / 4000;
	if (trouble) {
		t.lost = 100;
		t.parts_ns[PART_KSOFTIRQD] = 0.8 * rx_ns;
		t.unseen_ns = 400000000;
	}
	return t;
}

/*
 * A router of so many CPUs and devices. The first CPUs are less and less busy, the others idle. In
 * trouble, the last CPU is full, by a queue and by a thread that may run nowhere else.
 */
static const struct result *made_up_router(int cpus, int devices, bool trouble)
{
	static struct thread threads[] = { { 77, 0, 5000000000, "napi/eth0-8193", "", true },
					   { 78, 0, 2000000000, "napi/eth1-8194", "0-1", true } };
	static struct queue queues[500];
	int last = cpus - 1;

	begin_result();
	know_counts(PROCESSED, RPS);
	for (int cpu = 0; cpu < cpus; cpu++)
		b.cpu[cpu] = router_times(cpu < 12 ? 3000000000 >> cpu : 1000, 100000000, trouble);
	if (trouble) {
		b.cpu[last] = router_times(9600000000, 304000000, true);
		b.cpu[0].counts[DROPPED] = 1234567;
		b.cpu[0].counts[SQUEEZED] = 1204;
		b.cpu[0].unreturned = 1;
		b.stolen_ns = b.cpu[0].unreturned_ns = 500000000ull * cpus;
	}
	set_events(EV_RX_SOFTIRQ, EV_IDLE, TRACED, "tp_btf:made_up");
	set_events(EV_NET_OTHER, EV_NET_OTHER, SAMPLED, "tp_btf:made_up");
	r.has_parts = true;
	r.device_hook = "tp_btf:napi_poll";
	subtract_marks(&b, &a, &r);
	make_up_profile();
	r.profile.lost = trouble ? 1000 : 0;
	r.max_backlog = 1000;
	r.budget = 300;
	r.budget_usecs = 8000;
	r.rx_queues = 1;
	r.queues = queues;
	r.queue_count = devices;
	for (int i = 0; i < devices; i++) {
		queues[i] = (struct queue) { .id = 8193 + i, .cpu = i % cpus, .polls = 10000,
					     .packets = 640000, .ns = 50000000 / (i + 1) };
		FORMAT(queues[i].name, "eth%d", i);
		if (trouble && !i) {
			queues[i].cpu = last;
			queues[i].ns = 9000000000;
		}
		queues[i].device_ns = queues[i].ns;
	}
	r.threads = threads;
	r.thread_count = trouble ? ARRAY_SIZE(threads) : 0;
	threads[0].cpu = threads[1].cpu = last;
	FORMAT(threads[0].cpus, "%d", last);
	return &r;
}

/* The short report, in memory. */
static char *short_text(const struct result *r)
{
	static char text[1 << 16];
	FILE *f = fmemopen(text, sizeof(text), "w");

	print_short(f, r);
	fclose(f);
	return text;
}

/* Makes one space of each newline with the spaces around it, so that strstr() finds sentences. */
static char *unwrap(char *text)
{
	char *to = text;

	for (char *p = text; *p; p++)
		if (!isspace((uint8_t)*p) || (to > text && to[-1] != ' '))
			*to++ = isspace((uint8_t)*p) ? ' ' : *p;
	*to = 0;
	return text;
}

/* Checks that a report has at most so many lines, of at most 79 columns. */
static void check_size(const char *text, unsigned most, const char *what)
{
	unsigned lines = 0;

	for (size_t length; *text; text += length + 1, lines++) {
		length = strcspn(text, "\n");
		CHECK(length <= 79, "%s: %.*s", what, (int)length, text);
	}
	CHECK(lines <= most, "%s: %u lines", what, lines);
}

static void test_short_report(void)
{
	static const int sizes[] = { 1, 2, 8, 64, MAX_CPUS };

	for (int i = STAGE_NONE + 1; i < STAGES; i++)
		CHECK(stages[i].what && strlen(stages[i].what) <= 28, "%s", stages[i].name);
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		char *text = short_text(made_up_router(sizes[i / 2], 500, i % 2));

		check_size(text, 45, sformat("%d CPUs", sizes[i / 2]));
		CHECK(!strstr(unwrap(text), "of the samples were lost") == !(i % 2), "%d CPUs: %s",
		      sizes[i / 2], text);
	}
	opt.tasks = 2;
	check_size(short_text(made_up_result(true)), UINT_MAX, "tasks");
	opt.tasks = 0;
	CHECK(!strstr(unwrap(short_text(made_up_sampled())), "more than half of itself"), "narrow");
	r.all.below[EV_NONE] = r.all.above[EV_NONE] = 1e20;
	CHECK(strstr(unwrap(short_text(&r)), "more than half of itself"), "wide");
}

/* Prints a report of each made-up result. */
static int print_golden(const char *format)
{
	report = stdout;
	opt.tasks = 2;
	opt.full = !strcmp(format, "table");
	opt.csv = !strcmp(format, "csv");
	opt.folded = !strcmp(format, "folded");
	print_report(made_up_result(true), true);
	print_report(made_up_result(false), false);
	print_report(made_up_sampled(), false);
	if (!strcmp(format, "short")) {
		opt.tasks = 0;
		print_report(made_up_router(2, 2, false), false);
		print_report(made_up_router(8, 12, true), false);
		print_report(made_up_router(MAX_CPUS, 500, true), false);
	}
	return print_report(made_up_accounted(), false);
}

/* ==== 5. Arithmetic and printers ==== */

/*
 * Where no tracepoint tells devices, the functions that NAPI calls stand for them. By /proc, CPU 3
 * is idle.
 */
static void test_pollers(void)
{
	char seen[256] = "";

	made_up_sampled();
	find_pollers(&r);
	add_poller(&r, "poll_it_tx()", 0, 5000000); /* another one */
	for (const struct queue *q = r.queues; q < r.queues + r.queue_count; q++)
		APPEND(seen, "%s %d %.1f; ", q->name, q->cpu, q->ns / 1e6);
	check_text("pollers", seen,
		   "process_backlog() 0 1688.7; process_backlog() 3 0.0; "
		   "poll_it() 0 136.9; poll_it_tx() 0 5.0; ");
	free(r.queues);
}

/* The length of a name, and the room for it. test/golden and test/corpus have the characters. */
static void test_escape_name(void)
{
	char text[7];

	escape_name("abc", 2, text, sizeof(text));
	check_text("abc, of which 2", text, "ab");
	escape_name("aaaaaa", 16, text, sizeof(text)); /* with room for \xNN and the 0 each time */
	check_text("aaaaaa, into 7", text, "aaa");
}

/* On an idle machine no CPU is the busiest. test/golden has busy ones. */
static void test_busiest(void)
{
	begin_result();
	r.cpu[0].wall_ns = r.cpu[0].ns[EV_IDLE] = 2000000000;
	SAME(find_busiest(&r).cpu, -1);
}

/*
 * By /proc alone: a thread that polled for 8 s was last on CPU 1, which was idle for 9.7 s of 10.
 * CPU 1 keeps its idle time; the rest of the thread's was on another CPU.
 */
static void test_moved_thread(void)
{
	made_up_accounted();
	r.threads[0].ns = 8000000000;
	r.threads[0].cpu = 1;
	share_out(&r);
	SAME(r.cpu[1].ns[EV_IDLE], 9970000000);
	SAME(r.cpu[1].ns[EV_NAPI_THREAD], 10000000);
	SAME(r.all.ns[EV_NAPI_THREAD], 10000000 + r.cpu[0].ns[EV_OTHER]);
	SAME(r.all.ns[EV_OTHER], 0);
	SAME(sum_ns((const __u64 *)r.all.ns), r.all.wall_ns);
}

/* A time with its interval. */
static const char *estimate_text(struct estimate e)
{
	return sformat("%" PRIu64 ", %" PRIu64 " to %" PRIu64, e.ns, e.low_ns, e.high_ns);
}

/* Time of a pool without a sample: it may all be the network's, and is no more than it is. */
static void test_unsampled_pool(void)
{
	struct times t = { .ns = { [EV_SOFTIRQ] = 300000 } };

	made_up_result(true);
	share_out_pool(&r, &t, &(struct shares) {}, EV_SOFTIRQ);
	check_text("softirq", estimate_text(event_time(&r, &t, EV_SOFTIRQ)), "300000, 0 to 300000");
}

/* Of a CPU that was plugged in meanwhile, packets are not known, but softirqs are. */
static void test_plugged(void)
{
	begin_result();
	know_counts(RX_SOFTIRQS, RPS);
	b.cpu[0] = (struct times) { .wall_ns = 1000, .counts = { 7, 7, 7, 7, 7, 7 } };
	b.cpu[1] = b.cpu[0];
	a.online[1] = false;
	subtract_marks(&b, &a, &r);
	SAME(r.counted[RX_SOFTIRQS], true);
	SAME(r.cpu[1].counts[RX_SOFTIRQS], 7);
	SAME(r.all.counts[RX_SOFTIRQS], 14);
	SAME(r.counted[PROCESSED], false);
	SAME(r.cpu[0].counts[PROCESSED], 0);
	SAME(r.all.counts[RPS], 0);
	a.online[1] = true;
	subtract_marks(&b, &a, &r);
	SAME(r.counted[PROCESSED], true);
	SAME(r.all.counts[PROCESSED], 14);
}

/* All that is counted at a mark has this value, but for the idle time of CPU 0. */
static void fill_mark(struct marks *m, uint64_t value, uint64_t idle_ns)
{
	for (unsigned i = 0; i < SUMS; i++)
		((uint64_t *)&m->cpu[0])[i] = value;
	m->cpu[0].ns[EV_NONE] = 0;
	m->cpu[0].ns[EV_IDLE] = idle_ns;
	m->cpu[0].wall_ns = sum_ns((const __u64 *)m->cpu[0].ns);
	m->tasks_lost = m->tasks_lost_ns = m->stolen_ns = m->user_ns = m->kernel_ns =
		m->recursion_misses = value;
}

/* The difference of what steps back, here from 7 to 5, is 0, and no huge number. */
static void test_stepping_back(void)
{
	static const struct times zero;

	begin_result();
	know_counts(PROCESSED, RPS);
	fill_mark(&a, 7, 0);
	fill_mark(&b, 5, 1000);
	subtract_marks(&b, &a, &r);
	SAME(r.cpu[0].proc_idle_ns, UINT64_MAX); /* not known */
	SAME(r.cpu[0].ns[EV_IDLE], r.cpu[0].wall_ns);
	r.cpu[0].proc_idle_ns = r.cpu[0].ns[EV_IDLE] = r.cpu[0].wall_ns = 0;
	SAME(memcmp(&r.cpu[0], &zero, sizeof(zero)), 0);
	SAME(memcmp(r.all.counts, zero.counts, sizeof(zero.counts)), 0);
	SAME(r.tasks_lost + r.tasks_lost_ns + r.stolen_ns + r.user_ns + r.kernel_ns, 0);
	SAME(r.recursion_misses + r.residual_ns, 0);
}

/*
 * A mark between a program's clock and its store gives time to the old event, which the next mark
 * gives to the new event. Then the old event has less at the second mark. The difference is taken
 * from the new event, here `idle`.
 */
static void test_settling(void)
{
	begin_result();
	a.cpu[0] = (struct times) { .wall_ns = 1000, .ns = { [EV_OTHER] = 400, [EV_SEND] = 600 } };
	b.cpu[0] = (struct times) {
		.wall_ns = 2000,
		.ns = { [EV_OTHER] = 380, [EV_SEND] = 590, [EV_RECV] = 10, [EV_IDLE] = 1020 }
	};
	subtract_marks(&b, &a, &r);
	SAME(r.all.ns[EV_OTHER], 0);
	SAME(r.all.ns[EV_SEND], 0);
	SAME(r.all.ns[EV_RECV], 10);
	SAME(r.all.ns[EV_IDLE], 990);
	SAME(memcmp(r.all.ns, r.cpu[0].ns, sizeof(r.all.ns)), 0);
	SAME(r.residual_ns, 0);
}

/* The sum of what two packages used, after their counters became these; "-" cannot be read. */
static const char *energy_text(const char *counters)
{
	static struct energy e = {
		.packages = 2,
		.package = { { .last_uj = 1000, .range_uj = 1000001 },
			     { .last_uj = 999990, .range_uj = 1000001 } },
	};
	char texts[2][32];

	sscanf(counters, "%31[^ ] %31[^ ]", texts[0], texts[1]);
	for (int i = 0; i < 2; i++) {
		e.package[i].fd = memfd_create("energy", 0); /* never closed */
		write(e.package[i].fd, texts[i], strlen(texts[i]));
	}
	read_energy(&e);
	return sformat("%.17g", e.used_uj);
}

static void test_energy(void)
{
	CASES(energy_text, "1000 999990\n => 0", "1500 5 => 516", "- 15 => 526",
	      "1700\n 15 => 726");
}

/* Random stacks, with stages in any order: the printed stages are a tree, which holds them all. */
static void test_find_parents(void)
{
	static struct profile p;
	int parents[STAGES];

	for (int round = 0; round < 200; round++) {
		memset(&p, 0, sizeof(p));
		for (int i = 0; i <= round; i++) {
			struct classified s = { .path_length = 1 + random() % 12 };
			struct raw raw = { .words = (uint64_t[]) { 0 },
					   .event = EV_SEND,
					   .count = 1 + random() % 9 };

			for (int j = 0; j < s.path_length; j++)
				s.path[j] = s.stage = 1 + random() % (round % 2 ? STAGES - 1 : 5);
			count_shares(&p.all, &raw, &s);
			count_nesting(&p, &raw, &s);
		}
		find_parents(&p, EV_SEND, parents);
		for (int stage = STAGE_NONE + 1; stage < STAGES; stage++) {
			int at = parents[stage], steps = 0;

			while (p.all.stages[EV_SEND][at].total && ++steps < STAGES)
				at = parents[at];
			CHECK(at == STAGE_NONE, "round %d: %s is within %s", round,
			      stages[stage].name, stages[parents[stage]].name);
		}
	}
}

/* ==== 6. Samples ==== */

/* The part of a second that a share of samples stands for. */
static const char *share_text(const char *share)
{
	unsigned part, whole;

	sscanf(share, "%u of %u", &part, &whole);
	return estimate_text(estimate(NSEC_PER_SEC, part, whole));
}

static void test_estimate(void)
{
	/* E. B. Wilson's formula, calculated independently of netto.c */
	CASES(share_text, "0 of 10 => 0, 0 to 277532803",
	      "1 of 10 => 100000000, 17876213 to 404150030",
	      "5 of 10 => 500000000, 236593089 to 763406911",
	      "10 of 10 => 1000000000, 722467197 to 1000000000",
	      "300 of 1000 => 300000000, 272406842 to 329123861", "0 of 0 => 0, 0 to 1000000000");
}

/* The periods of all CPUs differ, and are longer than CPU 0's by at most 1 %. */
static void test_sample_period(void)
{
	static const uint64_t periods[] = { NSEC_PER_SEC / 997, NSEC_PER_SEC / 20000, 6000000000 };
	static const int cpus[] = { MAX_CPUS, 128, MAX_CPUS };

	for (int i = 0; i < 3; i++) {
		unsigned in_step = 0, wrong = 0;

		for (int a = 1; a < cpus[i]; a++) {
			uint64_t of_a = sample_period(periods[i], a);

			wrong += of_a <= periods[i] || of_a > periods[i] + periods[i] / 100;
			for (int b = 0; b < a; b++)
				in_step += sample_period(periods[i], b) == of_a;
		}
		SAME(sample_period(periods[i], 0), periods[i]);
		SAME(wrong + in_step, 0);
	}
	SAME(sample_period(1000000, 1), 1006180);
}

static void test_count_missed(void)
{
	begin_result();
	r.profile.hz = 1000;
	r.profile.samples = 1900;
	r.profile.lost = 10;
	r.events[EV_RX_SOFTIRQ].source = r.events[EV_IDLE].source = TRACED;
	r.cpu[0].ns[EV_RX_SOFTIRQ] = r.cpu[1].ns[EV_RX_SOFTIRQ] = NSEC_PER_SEC;
	r.cpu[1].ns[EV_IDLE] = NSEC_PER_SEC;
	count_missed(&r);
	SAME(r.profile.not_taken, 83); /* 1000 + 993.86 - 1910 */
	r.profile.samples += 500;
	r.profile.all.samples[EV_IDLE] += 500;
	count_missed(&r);
	SAME(r.profile.not_taken, 83); /* the samples of an idle CPU do not count */
}

static void check_table(unsigned hz, double seconds, int cpus, int bufs)
{
	double memory = (double)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	struct sampler s = { .hz = hz, .cpus = cpus, .nr_bufs = bufs };
	double size, limit = hz <= 1000 ? 1 << 20 : 4 << 20;

	size_table(&s, seconds);
	size = (double)s.buf_size * bufs;
	CHECK(size <= limit + 4096 && size * cpus <= memory / 16 + 4096.0 * cpus,
	      "%u Hz, %f s, %d CPUs: %.0f bytes on each", hz, seconds, cpus, size);
	CHECK(s.hash_slots >= 16 && !(s.hash_slots & (s.hash_slots - 1)) &&
		      s.stack_words >= 1 + MAX_DEPTH,
	      "%u Hz, %f s, %d CPUs: %u slots, %u words", hz, seconds, cpus, s.hash_slots,
	      s.stack_words);
}

/*
 * The table takes at most 1 MB on each CPU, above 1000 Hz 4 MB, and a sixteenth of all memory. A
 * short or slow measurement has room for stacks, too.
 */
static void test_size_table(void)
{
	static const unsigned rates[] = { 1, 10, 997, 1000, 1001, 2000, 3899, 3900, 4000, MAX_HZ };
	static const double seconds[] = { 0.001, 0.1, 1, 10, 3600, MAX_SECONDS };
	static const int cpus[] = { 1, 2, 64, MAX_CPUS };

	for (unsigned i = 0; i < ARRAY_SIZE(rates); i++)
		for (unsigned j = 0; j < ARRAY_SIZE(seconds); j++)
			for (unsigned k = 0; k < 2 * ARRAY_SIZE(cpus); k++)
				check_table(rates[i], seconds[j], cpus[k / 2], 1 + k % 2);
}

/* Adds a record to a ring. The record may go on at the beginning of the ring. */
static void put_record(struct perf_event_mmap_page *page, const struct record *record)
{
	char *ring = (char *)page + sysconf(_SC_PAGESIZE);

	for (int i = 0; i < record->header.size; i++)
		ring[page->data_head++ % RING_BYTES] = ((const char *)record)[i];
}

/* The samples of a stack, taken while `other` owned the CPU. */
static uint64_t samples_of(const struct profile *p, const uint64_t *stack, int depth)
{
	uint64_t samples = 0;

	for (const struct raw *raw = p->raws + 1; raw < p->raws + p->raw_count; raw++)
		if (raw_owner(raw) == EV_OTHER && raw_depth(raw) == depth &&
		    !memcmp(raw->words + 1, stack, depth * sizeof(*stack)))
			samples += raw->count;
	return samples;
}

/* A ring is written a thousand times over. Each record is counted once, in its interval. */
static void test_rings(void)
{
	static const uint64_t stacks[2][3] = {
		{ PERF_CONTEXT_KERNEL, 0xffffffff81000001, 0xffffffff81000003 },
		{ PERF_CONTEXT_KERNEL, 0xffffffff81000001, 0xffffffff81000002 },
	};
	static uint64_t memory[(RING_BYTES + 65536) / 8] __attribute__((aligned(65536)));
	struct sampler s = { .cpus = 1, .hz = 997, .nr_bufs = 2, .started_ns = 100 };
	static struct profile p;

	s.rings[0] = (void *)memory;
	size_table(&s, 10);
	s.tables = calloc(2, s.buf_size);
	for (uint64_t i = 0; i < 3000000; i++) {
		struct record sample = { { PERF_RECORD_SAMPLE, 0, i % 40 ? 48 : 24 },
					 .count = i % 40 ? 3 : 0 }; /* 1 in 40 is empty */

		/* a third from before the start, a third of interval 6, a third of interval 7 */
		sample.time_ns = i % 3 == 0 ? 99 : i % 3 == 1 ? 100 : 200;
		memcpy(sample.words, stacks[i % 2], sizeof(stacks[0]));
		put_record(s.rings[0], &sample);
		if (i % 1000000 == 0)
			put_record(s.rings[0], &(struct record) { { PERF_RECORD_LOST, 0, 24 },
								  .time_ns = 77, .count = 5 });
		if (i % 1000 == 0)
			read_rings(&s, 6, 200);
	}
	read_rings(&s, 6, 200);
	SAME(s.rings[0]->data_tail, s.rings[0]->data_head);
	for (int interval_id = 6; interval_id <= 7; interval_id++) {
		read_tables(&p, &s, interval_id);
		SAME(p.raw_count, 1 + 3);
		SAME(samples_of(&p, stacks[0] + 1, 2), 475000);
		SAME(samples_of(&p, stacks[1] + 1, 2), 500000);
		SAME(samples_of(&p, NULL, 0), 25000);
	}
	SAME(p.lost, 15);
	/* interval 8 gets the buffer of interval 6, empty */
	SAME(buf_for(&s, 0, 8)->used, 0);
	SAME(buf_for(&s, 0, 8)->full, 0);
	/* a table becomes full */
	memset(s.tables, 0, 2 * s.buf_size);
	p.lost = 0;
	for (uint64_t i = 0; i < 100000; i++)
		count_stack(&s, buf_for(&s, 0, 6), &i, 1);
	read_tables(&p, &s, 6);
	SAME(p.raw_count, s.hash_slots + 1);
	SAME(p.lost, 100000 - s.hash_slots);
	free(p.raws);
	free(s.tables);
}

/* ==== 7. Kernel symbols and tables ==== */

/* NAME, or NAME[MODULE], of the function at an address. Its first ffffffff may be left out. */
static const char *name_at(const char *text)
{
	uint64_t address = strtoull(text, NULL, 16);
	bool is_short = address && strlen(text) <= 8;
	const struct symbol *s =
		search_symbol(&symbols, is_short ? address | 0xffffffffull << 32 : address);

	return sformat(s->module ? "%s[%s]" : "%s", name_of(&symbols, s),
		       symbols.names + s->module);
}

static void test_symbols(void)
{
	static const char lines[] =
		"0000000000000000 A fixed_percpu_data\n"
		"ffffffff81000000 T _stext\n"
		"ffffffff81000000 T startup_64\n"
		"ffffffff81000100 t one.isra.0\n"
		"ffffffff81000180 d one_data\n"
		"ffffffff81000200 t two.part.3.constprop.0.cold\n"
		"ffffffff81000300 W __pfx_three\n"
		"ffffffff81000310 w three\n"
		"ffffffff81000400 t .four\n"
		"ffffffff81000500 t __pfx_\n"
		"ffffffffc0000000 t five\t[mod_a]\n"
		"ffffffffc0000100 t six\t[mod_a]\n"
		"ffffffffc0100000 t seven\t[mod_ab]\n"
		"ffffffffc0300000 t eight\t[mod_b]\n"
		/* the symbols of a module come in any order */
		"ffffffffc0400010 t small\t[mod_c]\n"
		"ffffffffc0400000 t __pfx_small\t[mod_c]\n"
		"ffffffffc0400040 t next\t[mod_c]\n"
		"ffffffffc0400030 t __pfx_next\t[mod_c]\n"
		/* ftrace remembers the code that initialised a module, and was freed then */
		"ffffffffc0100000 T mod_a_init\t[mod_a]\n"
		"ffffffffc0000180 T mod_ab_init\t[mod_ab]\n"
		"ffffffffc0200000 t bpf_prog_6deef7357e7b4530_x\t[bpf]\n";

	SAME(read_lines(lines), 0);
	SAME(symbols.count, 2 + 14);
	CASES(name_at, "0 => [unknown]", "0000000000000001", "80ffffff", "bfffffff", "ffffffff",
	      "81000000 => _stext", "810000ff", "81000190 => one", "81000200 => two",
	      "81000312 => three", "81000400 => .four", "81000500 => __pfx_",
	      "c0000000 => five[mod_a]", "c00000ff", "c0000100 => six[mod_a]", "c0000190",
	      "c0100000 => seven[mod_ab]", "c0100010", "c0300010 => eight[mod_b]",
	      "c0200000 => bpf_prog_6deef7357e7b4530_x[bpf]", "c0400048 => next[mod_c]");
	/* the padding before a function belongs to the function */
	CASES(name_at, "81000308 => three", "c0400018 => small[mod_c]");
	/* a function of the kernel has at most 1 MB, a function of a module 64 kB */
	CASES(name_at, "811004ff => __pfx_", "81100500 => [unknown]", "c00100ff => six[mod_a]",
	      "c0010100 => [unknown]");
}

/* Between good lines of kallsyms: lines that are none, or are longer than netto's buffer. */
static void test_bad_symbols(void)
{
	static char lines[400000];

	SAME(read_lines(""), -EACCES);
	SAME(read_lines("0000000000000000 T _stext\n"
			"0000000000000000 t one\t[mod_a]\n"),
	     -EACCES);
	SAME(read_lines("\n \n"
			"ffffffff81000000\n"
			"ffffffff81000000 \n"
			"ffffffff81000000 t\n"
			"ffffffff81000000 t \n"
			"not a symbol at all\n"
			"ffffffff81000000 t good\n"
			"ffffffff81000100 t tab\t\n"
			"ffffffff81000200 t bracket\t[\n"
			"ffffffff81000300 t open\t[mod\n"
			"\t\t\t[[[]]]\n"
			"ffffffff81000400 t last"),
	     0);
	CASES(name_at, "81000000 => good", "81000100 => tab", "81000200 => bracket",
	      "81000300 => open[mod]");
	for (size_t length = 1000; length < sizeof(lines) - 300; length = length * 3 + 7) {
		int good = sprintf(lines, "ffffffff81000000 t good\nffffffff81000100 t ");

		memset(lines + good, 'x', length);
		strcpy(lines + good + length, "\nffffffff81000200 t end\n");
		SAME(read_lines(lines), 0);
		CASES(name_at, "81000000 => good", "81000200 => end");
	}
}

/* A million functions, in order and in reverse. */
static void test_many_symbols(void)
{
	enum { COUNT = 1000000, LINE = 48 };
	char *lines = malloc(COUNT * LINE);

	for (int reverse = 0; reverse < 2; reverse++) {
		uint64_t began_ns, took_ns;
		char *to = lines;

		for (uint64_t i = 0; i < COUNT; i++)
			to += sprintf(to, "%016" PRIx64 " t function_%06" PRIu64 "%s\n",
				      0xffffffff81000000 + 16 * (reverse ? COUNT - 1 - i : i), i,
				      i % 3 ? "" : "\t[mod]");
		began_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
		SAME(read_lines(lines), 0);
		took_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns;
		CHECK(took_ns < 4 * NSEC_PER_SEC, "%.3f s", took_ns / 1e9);
		SAME(symbols.count, 2 + COUNT);
		/* 81000000 and 16 * 123456, and 5 */
		check_text("a function", name_at("811e2405"),
			   reverse ? "function_876543[mod]" : "function_123456[mod]");
	}
	free(lines);
}

static void test_tables(void)
{
	static const struct netto__rodata no_probes;
	static struct session all = { .sampler.hz = 1 };
	static struct symbols s = { .rodata = &no_probes };
	int with_roots = 0;

	for (int i = STAGE_NONE + 1; i < STAGES; i++) {
		CHECK(stages[i].name && stages[i].name[0], "stage %d has no name", i);
		for (int j = STAGE_NONE + 1; j < i; j++)
			CHECK(strcmp(stages[i].name, stages[j].name), "%s", stages[i].name);
	}
	/* two rules of the same name and kind: only one would count */
	make_rules(&s);
	for (const struct rule *x = s.rules; x < s.rules + s.rule_count; x++)
		for (const struct rule *y = s.rules; y < x; y++)
			if (x->length == y->length && !memcmp(x->name, y->name, x->length) &&
			    x->star == y->star && x->module == y->module && x->member == y->member)
				CHECK(false, "'%.*s' is in two lists of a kind: of %d and of %d",
				      x->length, x->name, y->value, x->value);

	s.rodata = skel->rodata;
	s.rule_count = 0;
	make_rules(&s);
	CHECK(s.rule_count <= ARRAY_SIZE(s.rules), "%u rules", s.rule_count);
	for (int i = 0; i < MAX_PROBES; i++) {
		all.probes[i].event = skel->rodata->probes[i].event;
		all.probes[i].how = skel->rodata->probes[i].how;
	}
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		with_roots += is_sampled(&all, e);
	SAME(with_roots, EV_MAX - 1 - 1); /* all but top halves */
}

/* ==== 8. Classified stacks ==== */

/* What netto says of a stack: the event, the stages from the root to the leaf, /ACTIVITY. */
static const char *told(const struct classified *s)
{
	static char text[4096];

	FORMAT(text, "%s", event_name(s->event));
	for (int i = 0; i < s->path_length; i++)
		APPEND(text, " %s", stages[s->path[i]].name);
	if (s->activity)
		APPEND(text, " /%s", activities[s->activity].name);
	return text;
}

/* Replaces the first word of such a text by what the word stands for, if it is one of the file. */
static const char *expand(const char *text)
{
	static char expanded[1024];
	size_t length = strcspn(text, " ");
	const struct example *word = find_word(text, length);

	if (!word)
		return strcpy(expanded, text);
	expand(word->told);
	return strcat(expanded, text + length);
}

/* Checks the stacks of a file, which are of one kernel. */
static void check_stacks(const char *path)
{
	static struct profile p = { .symbols = &symbols };
	struct classified s;

	read_stacks(path);
	for (struct example *e = examples; e < examples + example_count; e++) {
		struct raw raw = { .words = e->words };
		int owner = raw_owner(&raw);

		if (e->word)
			continue;
		classify_raw(&p, &raw, &s);
		check_text(e->frames, told(&s), expand(e->told));
		SAME(s.stage, s.path[s.path_length - 1]);
		/* probes and stack agree, unless something interrupted or is not traced */
		CHECK(!owner || owner == EV_HARDIRQ || s.event == owner || !s.event ||
			      s.event == EV_SOFTIRQ || s.event == EV_TCP_WORK,
		      "the probes said %s: %s", e->owner, e->frames);
	}
}

static void test_stacks(void)
{
	glob_t files;

	symbols.has_kprobes = true;
	CHECK(!glob("test/stacks/*.txt", 0, NULL, &files) && files.gl_pathc >= 8,
	      "test/stacks: too few kernels: run test/run --stacks");
	for (size_t i = 0; i < files.gl_pathc; i++) {
		check_stacks(files.gl_pathv[i]);
		CHECK(example_count >= 50 || strstr(files.gl_pathv[i], "made-up"), "%s: %d stacks",
		      files.gl_pathv[i], example_count);
	}
	globfree(&files);
	symbols.has_kprobes = false;
}

/* ==== 9. Recording stacks ==== */

/*
 * Prints a frame with all names of its function. `exact`: the address is that of an instruction,
 * and not behind a call. Returns whether this holds for the next frame, which was interrupted.
 */
static bool print_frame(uint64_t address, bool exact)
{
	const struct symbol *best = find_symbol(&symbols, address - !exact);
	const struct symbol *first = search_symbol(&symbols, address - !exact), *s = first;

	if (first == &symbols.list[UNKNOWN_SYMBOL]) {
		fputs(address ? "@2 " : "@0 ", stdout); /* 2 is of no function, either */
		return false;
	}
	for (; s < symbols.list + symbols.count && s->address == first->address; s++)
		printf("%s%s", s > first ? "=" : "", name_of(&symbols, s));
	printf(first->module ? "[%s] " : " ", symbols.names + first->module);
	return best->stage == STAGE_interrupt;
}

/*
 * Prints a stack with as many frames as are classified like the whole stack, and some frames more,
 * which classify_stack() must then leave out.
 */
static void print_example(const struct raw *raw, const struct classified *whole)
{
	enum { BEYOND = 3 };
	struct classified part;
	bool exact = true;
	int depth = 0;

	do
		classify_stack(&symbols, raw->words + 1, ++depth, &part);
	while (depth + BEYOND < raw_depth(raw) &&
	       (part.depth != whole->depth || part.event != whole->event ||
		memcmp(part.frames, whole->frames, part.depth * sizeof(*part.frames))));
	printf("%s: ", event_name(raw->event));
	for (int i = 0; i < depth + BEYOND && i < raw_depth(raw); i++)
		exact = print_frame(raw->words[1 + i], exact);
	printf("=> %s\n", told(whole));
}

/*
 * Prints one stack for each new combination of owner, root, stage and activity: the most sampled
 * stack of the interval.
 */
static void print_examples(const struct profile *p)
{
	static uint64_t printed[1024];
	static size_t count;

	for (size_t i = 0; i < p->stack_count && count < ARRAY_SIZE(printed); i++) {
		const struct raw *raw = &p->raws[p->stacks[i].first];
		struct classified s;
		size_t at = 0;

		classify_raw(p, raw, &s);
		printed[count] =
			add_to_hash(add_to_hash(raw->event, s.event), s.stage << 8 | s.activity);
		while (printed[at] != printed[count])
			at++;
		if (at == count) {
			print_example(raw, &s);
			count++;
		}
	}
}

/*
 * Measures until a signal, and prints stacks that were sampled. The symbols are read again at each
 * interval, since modules may have been loaded.
 */
static int record(void)
{
	static struct session s;
	static struct marks marks;
	static struct profile p = { .symbols = &symbols };
	uint64_t samples = 0, unknown = 0, lost = 0;
	struct utsname uts;
	bool ended = false;
	int status;

	handle_signals();
	phase = MEASURING;
	opt.seconds = 5;
	opt.count = 0;
	opt.freq = 2999;
	status = start_probes(&s);
	if (status || !s.sampler.hz)
		return status ? status : EXIT_FAILED;
	uname(&uts);
	printf("# Stacks that were sampled on %s %s %s, by test/run --stacks; made-up.txt says how to read them.\n",
	       uts.sysname, uts.release, uts.machine);
	status = make_mark(&s, &marks, 1);
	fputs("recording\n", stderr);
	for (uint32_t interval_id = 1; !status && !ended; interval_id++) {
		ended = wait_until(&s, now_ns(CLOCK_MONOTONIC) + opt.seconds * NSEC_PER_SEC,
				   interval_id);
		free_symbols(&symbols);
		status = make_mark(&s, &marks, ended ? 0 : interval_id + 1) ||
			 make_profile(&p, &s.sampler, interval_id);
		print_examples(&p);
		samples += p.samples;
		lost += p.lost;
		unknown += p.unknown;
	}
	fprintf(stderr, "%" PRIu64 " samples, %" PRIu64 " lost, %" PRIu64 " unknown\n", samples,
		lost, unknown);
	stop_probes(&s);
	return status || fflush(stdout) || ferror(stdout);
}

/* ==== Main ==== */

#define TEST(name) { #name, test_##name }

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	TEST(parse_cpus),   TEST(parse_options),  TEST(short_report),  TEST(pollers),
	TEST(moved_thread), TEST(unsampled_pool), TEST(escape_name),   TEST(busiest),
	TEST(plugged),	    TEST(stepping_back),  TEST(settling),      TEST(energy),
	TEST(find_parents), TEST(estimate),	  TEST(sample_period), TEST(count_missed),
	TEST(size_table),   TEST(rings),	  TEST(symbols),       TEST(bad_symbols),
	TEST(many_symbols), TEST(tables),	  TEST(stacks),
};

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	test = word;
	skel = netto__open();
	symbols.rodata = skel->rodata;
	if (!strcmp(word, "record"))
		return record();
	if (*word && strstr("short table csv folded", word))
		return print_golden(word);
	freopen("/dev/null", "w", stderr); /* the messages of bad options */
	for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
		test = tests[i].name;
		if (!*word || !strcmp(word, test))
			tests[i].run();
	}
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed || !passed;
}
