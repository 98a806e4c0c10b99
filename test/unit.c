// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of netto.c, which is included whole. They need no root and no eBPF. A test is a
 * function test_NAME() and an entry of tests[], at the end. Its stacks are in test/stacks;
 * made-up.txt there says how to add one. Uses:
 *
 *	unit			runs all tests
 *	unit NAME		runs this one
 *	unit short|table|csv|folded	prints that report of made-up results, for test/golden
 *	unit record SECONDS	measures (as root), prints stacks that it sampled, for test/stacks
 *
 * 1. Checks
 * 2. Command line
 * 3. Kernels and stacks of test/stacks
 * 4. Made-up results
 * 5. Arithmetic and printers
 * 6. Samples
 * 7. Kernel symbols and tables
 * 8. Stacks, sorted
 * 9. Recording stacks
 */
#define main netto_main
#include "../netto.c"
#undef main

#include <ctype.h>
#include <glob.h>

/* ==== 1. Checks ==== */

static const char *test; /* the name of the one that runs */
static int passed, failed;
static struct netto *skel; /* opened, not loaded: it has the names of the events */

/* Counts a check. Where it fails, the text behind it says what was seen. */
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

/* Checks what a function makes of texts: each case is "INPUT => OUTPUT". */
#define CASES(function, ...) check_cases(function, (const char *const[]) { __VA_ARGS__, NULL })

static void check_cases(const char *(*function)(const char *), const char *const *cases)
{
	for (; *cases; cases++) {
		size_t length = strstr(*cases, " => ") - *cases;
		char input[256];

		snprintf(input, sizeof(input), "%.*s", (int)length, *cases);
		check_text(input, function(input), *cases + length + 4);
	}
}

/* Checks that it makes the same of all these. */
#define ALL(function, output, ...)                                                                 \
	check_all(function, output, (const char *const[]) { __VA_ARGS__, NULL })

static void check_all(const char *(*function)(const char *), const char *output,
		      const char *const *inputs)
{
	for (; *inputs; inputs++)
		check_text(*inputs, function(*inputs), output);
}

/* A text for such a function. */
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

/* The event whose name a text begins with, up to a space. */
static int find_event(const char *text)
{
	size_t length = strcspn(text, " ");
	int event = EV_MAX - 1;

	while (event != EV_NONE &&
	       (strncmp(event_name(event), text, length) || event_name(event)[length]))
		event--;
	return event;
}

/* ==== 2. Command line ==== */

/* Of a number from 0 to 1000; of a whole one, if "whole " is before it. */
static const char *number_text(const char *text)
{
	bool whole = !strncmp(text, "whole ", 6);
	double number;

	return parse_number(text + (whole ? 6 : 0), 0, 1000, whole, &number) ? sformat("%g", number)
									     : "bad";
}

static void test_parse_number(void)
{
	CASES(number_text, "10 => 10", "0.5 => 0.5", ".5 => 0.5", "whole 1000 => 1000",
	      "whole 0 => 0", "whole 007 => 7");
	ALL(number_text, "bad", "", "-1", "+1", " 1", "1 ", "1s", "1e3", "0x10", "inf", "nan",
	    "1.2.3", ".", "1001", "whole 1.5", "whole 99999999999999999999");
}

/* The last CPU of a list, and how many are marked. */
static const char *cpus_text(const char *list)
{
	bool cpus[MAX_CPUS + 1] = {};
	int last = parse_cpus(list, cpus), count = 0;

	for (int cpu = 0; cpu <= MAX_CPUS; cpu++)
		count += cpus[cpu];
	SAME(parse_cpus(list, NULL), last);
	return sformat("%d, %d CPUs", last, count);
}

static void test_parse_cpus(void)
{
	_Static_assert(MAX_CPUS == 1024, "the last case");
	CASES(cpus_text, "0\n => 0, 1 CPUs", "0-3\n => 3, 4 CPUs", "1,3\n => 3, 2 CPUs",
	      "0-1,4-5,7 => 7, 5 CPUs", "0,2-127\n => 127, 127 CPUs", "\n => -1, 0 CPUs",
	      " => -1, 0 CPUs", "0-2047 => 2047, 1024 CPUs", "3,1 => -1, 1 CPUs");
	ALL(cpus_text, "-1, 0 CPUs", "9999999999999999999", "4294967295", "0-2147483647", "3-1",
	    "3--5");
}

/* What a command line sets that is not the default, as NAME=VALUE. */
static const char *options_text(const char *line)
{
	static typeof(opt) defaults;
	static char text[256], copy[256];
	char *argv[16] = { "netto" };
	int argc = 1, length = 0;

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
	} numbers[] = { { "seconds", opt.seconds, 10 }, { "count", opt.count, 1 },
			{ "csv", opt.csv, 0 },		{ "verbose", opt.verbose, 0 },
			{ "folded", opt.folded, 0 },	{ "freq", opt.freq, 997 },
			{ "stacks", opt.stacks, UINT_MAX },	{ "tasks", opt.tasks, 0 },
			{ "mode", opt.mode, AUTO } };

	text[0] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		if (numbers[i].value != numbers[i].usual)
			length += sprintf(text + length, " %s=%.10g", numbers[i].name,
					  numbers[i].value);
	if (opt.output)
		length += sprintf(text + length, " output=%s", opt.output);
	if (opt.command)
		length += sprintf(text + length, " command=%s", opt.command[0]);
	return text + (length > 0);
}

static void test_parse_options(void)
{
	CASES(options_text, " => ", "5 => seconds=5", "0.25 4 => seconds=0.25 count=4",
	      "-c 1 0 => seconds=1 count=0 csv=1", "1 3 -cv => seconds=1 count=3 csv=1 verbose=1",
	      "--csv --verbose => csv=1 verbose=1", "-f 2 => seconds=2 folded=1",
	      "--folded => folded=1", "-F 4000 => freq=4000", "-F0 => freq=0",
	      "--freq=100000 -s 0 => freq=100000 stacks=0",
	      "--freq 1 --stacks 1000000000 => freq=1 stacks=1000000000",
	      "-cs3 1 => seconds=1 csv=1 stacks=3", "-m trace -F 0 => freq=0 mode=1",
	      "-msample => mode=2", "-t 7 => tasks=7", "--tasks=0 -o out 3 => seconds=3 output=out",
	      "-co out -- a -b => seconds=31622400 csv=1 output=out command=a",
	      "-- -1 => seconds=31622400 command=-1", "-- a -- b => seconds=31622400 command=a");
	/* commands, options, SECONDS and COUNT */
	ALL(options_text, "refused", "--", "-c --", "5 -- a", "-o -- a", "-x", "--nope",
	    "--csv=yes", "0", "1 -5", "1 2 3", "1 1.5", "ten", "99999999");
	/* what excludes each other; values */
	ALL(options_text, "refused", "-c -f", "--folded 1 --csv", "-f -F 0", "-m sample -F 0", "-o",
	    "-t x", "-m", "-m all", "-F", "--freq", "--freq=", "-F 100001", "-F 1.5", "-F -1",
	    "-F fast", "-F 99999 -F x", "-F x -F 1", "-s", "-s all", "-s 1000000001",
	    "-s 99999999999999999999");
	options_text(""); /* the defaults again */
}

/* ==== 3. Kernels and stacks of test/stacks ==== */

static struct symbols symbols;

/* Reads lines of kallsyms through a file descriptor, and the tables. */
static int read_lines(const char *lines, size_t length)
{
	int fd = memfd_create("kallsyms", 0), err;

	for (size_t done = 0; done < length;) {
		ssize_t wrote = write(fd, lines + done, length - done);

		if (wrote <= 0)
			return -EIO;
		done += wrote;
	}
	err = prepare_classifying(&symbols, fd);
	close(fd);
	return err;
}

#define MADE_UP "test/stacks/made-up.txt"
enum { MANY = 1000, FUNCTION_SIZE = 0x100, PADDING = 0x10 };

/* The lines of a file of test/stacks. */
static struct example {
	const char *word;  /* that stands for these frames; NULL: this is a stack */
	const char *owner; /* NULL: not known */
	const char *frames, *told;
} examples[MANY];
static int example_count;

/* The kernel of these stacks. A function gets an address when it is first named. */
static struct {
	char names[MANY][128]; /* NAME, NAME[MODULE], either with =ALIAS... */
	uint64_t addresses[MANY];
	int count, read;
	bool padded; /* functions have symbols for the padding before them */
} kernel;

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

/* Begins a kernel without functions, and reads the stacks of a file. Those before are freed. */
static void begin_kernel(const char *path)
{
	FILE *f = fopen(path, "re");
	static char *text;
	size_t room = 0;

	free(text);
	text = NULL;
	if (!f || getdelim(&text, &room, 0, f) <= 0) {
		printf("FAIL: unit: %s: there is none, or it is empty\n", path);
		exit(1);
	}
	fclose(f);
	example_count = kernel.count = kernel.read = 0;
	kernel.padded = !strstr(path, "5.10");
	for (char *rest = text, *line; (line = cut(&rest, "\n"));) {
		struct example *e = &examples[example_count];

		if (!*line || *line == '#')
			continue;
		e->word = cut(&line, " = ");
		e->owner = cut(&line, ": ");
		e->frames = cut(&line, " => ");
		e->told = e->frames ? line : "";
		e->frames = e->frames ?: line;
		example_count++;
	}
}

/* What a word stands for, or NULL. */
static const struct example *find_word(const char *word, size_t length)
{
	for (struct example *e = examples; e < examples + example_count && e->word; e++)
		if (strlen(e->word) == length && !memcmp(e->word, word, length))
			return e;
	return NULL;
}

/* The address of a frame, as test/stacks/made-up.txt describes it. */
static uint64_t frame_address(const char *frame, size_t length)
{
	bool end = frame[length - 1] == '!', start = frame[length - 1] == '^';
	bool padding = !strncmp(frame, "__pfx_", 6);
	int i = 0;

	if (*frame == '@')
		return strtoull(frame + 1, NULL, 16);
	frame += padding ? 6 : 0;
	length -= (end || start) + (padding ? 6 : 0);
	while (i < kernel.count &&
	       (strncmp(kernel.names[i], frame, length) || kernel.names[i][length]))
		i++;
	if (i == kernel.count) {
		snprintf(kernel.names[i], sizeof(kernel.names[i]), "%.*s", (int)length, frame);
		kernel.addresses[i] =
			strchr(kernel.names[i], '[') ? 0xffffffffc0100000 : 0xffffffff81000000;
		kernel.addresses[i] += i * FUNCTION_SIZE;
		kernel.count++;
	}
	return kernel.addresses[i] + (padding ? -PADDING / 2
				      : start ? 0
				      : !end  ? FUNCTION_SIZE / 2
					      : FUNCTION_SIZE - (kernel.padded ? PADDING : 0));
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

/* The lines of kallsyms for a function. */
static void print_function(FILE *f, const char *function, uint64_t address)
{
	const char *module = strchr(function, '[') ?: "", *tab = *module ? "\t" : "";
	char names[128];

	strcpy(names, function);
	names[strcspn(names, "[")] = 0;
	if (kernel.padded)
		fprintf(f, "%016" PRIx64 " t __%s_%.*s%s%s\n", address - PADDING,
			*module ? "cfi" : "pfx", (int)strcspn(names, "="), names, tab, module);
	for (char *name = strtok(names, "="); name; name = strtok(NULL, "="))
		fprintf(f, "%016" PRIx64 " t %s%s%s\n", address, name, tab, module);
	/* data is no function, and ends none */
	fprintf(f, "%016" PRIx64 " d data%s%s\n", address + 8, tab, module);
}

static int compare_modules(const void *a, const void *b)
{
	return strcmp(strchr(kernel.names[*(int *)a], '[') ?: "",
		      strchr(kernel.names[*(int *)b], '[') ?: "");
}

/* Lets netto.c read the functions that there are by now, module by module. */
static void read_kernel(void)
{
	int order[MANY];
	char *lines = NULL;
	size_t length;
	FILE *f = open_memstream(&lines, &length);

	for (int i = 0; i < kernel.count; i++)
		order[i] = i;
	qsort(order, kernel.count, sizeof(*order), compare_modules);
	fputs("0000000000000000 A fixed_percpu_data\n", f);
	for (int i = 0; i < kernel.count; i++)
		print_function(f, kernel.names[order[i]], kernel.addresses[order[i]]);
	fputs("ffffffffc0000000 t last\t[last]\n", f);
	fclose(f);
	SAME(read_lines(lines, length), 0);
	free(lines);
	kernel.read = kernel.count;
}

/* The addresses of a stack, of which netto.c then knows all functions. Returns how many. */
static int make_up_stack(const char *frames, uint64_t *addresses)
{
	int depth = stack_addresses(frames, addresses);

	if (kernel.read < kernel.count)
		read_kernel();
	return depth;
}

/* ==== 4. Made-up results ==== */

/* Two marks, and what is told of the time between them: one made-up result after the other. */
static struct marks a, b;
static struct result r;

/* Of which nothing is known but the host. */
static void begin_result(void)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&r, 0, sizeof(r));
	b.time = 1700000000.5;
	strcpy(r.host.nodename, "edge-1");
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

/* Samples of three CPUs in the words of netto.bpf.c, sorted as if they had been read there. */
static void make_up_profile(void)
{
	uint64_t (*words)[1 + MAX_DEPTH]; /* kept until the end */
	struct profile *p = &r.profile;

	begin_kernel("test/stacks/made-up-profile.txt");
	words = calloc(1 + example_count, sizeof(*words));
	p->hz = 997;
	p->clock = "cpu-clock";
	p->max_depth = MAX_DEPTH;
	p->lost = 2;
	p->not_taken = 4;
	p->raws = calloc(1 + example_count, sizeof(*p->raws));
	p->raw_count = 1;
	for (struct example *e = examples; e < examples + example_count; e++) {
		struct raw *raw = &p->raws[p->raw_count];
		uint64_t *to = words[p->raw_count];
		int event;

		if (e->word)
			continue;
		sscanf(e->owner, "%*s %hu %u", &raw->cpu, &raw->count);
		event = p->from_samples[EV_OTHER] ? EV_OTHER : find_event(e->owner);
		to[0] = event | make_up_stack(e->frames, to + 1) << 8;
		raw->words = to;
		p->raw_count++;
	}
	p->symbols = &symbols;
	classify_raws(p);
}

/* What queues, a backlog and what had no place did until a mark, each so many times as much. */
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

	m->polled = calloc(4, sizeof(*m->polled)); /* kept until the end */
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		typeof(m->polled->places[0]) *p = &m->polled[places[i].cpu].places[places[i].place];

		strcpy((char *)p->name, places[i].name);
		p->id = places[i].id;
		p->net = places[i].other ? 4026532291 : own_network();
		p->ns = times * places[i].ns;
		p->polls = times * places[i].polls;
		p->packets = times * places[i].packets;
	}
}

/* What processes did until each mark, in order. */
static void make_up_processes(void)
{
	static const char odd[] = "a,\"b\"\n\033[2J\xe9 /:";
	static const struct {
		struct marks *mark;
		uint32_t pid;
		const char *name;
		int event;
		uint64_t ns, count;
	} did[] = {
		{ &a, 17, "sshd", EV_SEND, 10, 1 },
		{ &a, 42, "nginx", EV_SEND, 5, 1 },
		{ &b, 17, "sshd", EV_SEND, 10, 1 },
		{ &b, 42, "nginx", EV_SEND, 300000005, 20001 },
		{ &b, 42, "nginx", EV_CONN, 2000, 2 },
		{ &b, 4242, odd, EV_RECV, 300000000, 20011 },
		{ &b, 4242, odd, EV_SEND, 250000000, 10010 },
		{ &b, 4242, odd, EV_BUSY_POLL, 7, 1 },
		{ &b, 4243, "third", EV_RECV, 3, 1 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(did); i++) {
		struct marks *m = did[i].mark;
		struct process *p;

		m->processes = m->processes ?: calloc(8, sizeof(*p)); /* kept until the end */
		if (!i || did[i - 1].mark != m || did[i - 1].pid != did[i].pid)
			m->process_count++;
		p = &m->processes[m->process_count - 1];
		p->pid = did[i].pid;
		strcpy((char *)p->did.name, did[i].name);
		p->did.ns[did[i].event] = did[i].ns;
		p->did.count[did[i].event] = did[i].count;
	}
	b.tasks_lost = 12;
	b.tasks_lost_ns = 345678;
}

/* All that only a host with operations tells. */
static void make_up_operations(void)
{
	a.stolen_ns = 100000000;
	b.stolen_ns = 700000000;
	for (int i = PROCESSED; i < COUNTS; i++) {
		a.counted[i] = b.counted[i] = true;
		a.cpu[0].counts[i] = 4294967290; /* over 32 bits */
		b.cpu[0].counts[i] = a.cpu[0].counts[i] + (i == PROCESSED ? 300000 : 9);
		b.cpu[3].counts[i] = i == PROCESSED ? 700000 : 0;
	}
	for (int cpu = 0; cpu < 4; cpu++)
		a.online[cpu] = b.online[cpu] = true;
	a.cards = b.cards = 2;
	a.card_packets = 77;
	b.card_packets = 2000077;
	a.energy_uj = 5e6;
	b.energy_uj = 455000000.4;
	r.has_energy = r.has_devices = r.has_tasks = r.has_parts = true;
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

/* Three CPUs: 0 busy, 1 plugged in meanwhile, 3 with a residual; 2 is a hole. */
static const struct result *made_up_result(bool operations)
{
	static const struct {
		int cpu, event;
		uint64_t before_ns, ns, count;
	} times[] = {
		{ 0, EV_RX_SOFTIRQ, 0, 1420000000, 70001 },
		{ 0, EV_TX_SOFTIRQ, 0, 10000000, 11 },
		{ 0, EV_RECV, 0, 300000000, 20011 },
		{ 0, EV_SEND, 0, 550000000, 30011 },
		{ 0, EV_CONN, 0, 0, 2 },
		{ 0, EV_SOFTIRQ, 0, 20000000, 4001 },
		{ 0, EV_OTHER, 4000, 850004000, 0 },
		{ 0, EV_IDLE, 1000, 6850001000, 90001 },
		{ 1, EV_IDLE, 0, 4000000000, 7 },
		{ 3, EV_RX_SOFTIRQ, 0, 9999999950, 4294967311 },
		{ 3, EV_IDLE, 1000, 1001, 0 },
	};
	static const uint64_t wall_ns[4] = { 10000000000, 4000000000, 0, 10000000000 };

	begin_result();
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		int cpu = times[i].cpu, e = times[i].event;

		a.cpu[cpu].ns[e] = times[i].before_ns;
		a.cpu[cpu].wall_ns += times[i].before_ns;
		b.cpu[cpu].wall_ns = a.cpu[cpu].wall_ns + wall_ns[cpu];
		b.cpu[cpu].ns[e] = times[i].ns;
		b.cpu[cpu].count[e] = times[i].count;
	}
	b.cpu[0].lost = 3;
	b.cpu[1].unseen_ns = 2500000000;
	b.user_ns = 1000000;
	b.kernel_ns = 2345678;
	b.recursion_misses = 5;
	b.has_recursion_misses = operations;
	set_events(EV_RX_SOFTIRQ, EV_IDLE, TRACED, "fentry:inet_one+inet_two");
	set_events(EV_RECV, EV_IO_WORKER, UNMEASURED, "none:");
	strcpy(r.host.sysname, "Linux");
	strcpy(r.host.release, "6.12.107");
	strcpy(r.host.machine, "x86_64");
	if (operations)
		make_up_operations();
	else
		strcpy(r.host.nodename, "a \"b\",c");
	subtract_marks(&b, &a, &r);
	if (operations) {
		make_up_profile();
		share_out(&r);
	}
	return &r;
}

/* At marks 1 and 2: one that polls, one that has less than 1 %, and one that did nothing. */
static void make_up_threads(struct marks *m, int mark)
{
	static struct thread threads[2][3];

	memcpy(threads[mark - 1],
	       ((struct thread[]) {
		       { 15, 0, 1000000000 + 50000000 * mark, "ksoftirqd/0", "0", false },
		       { 77, 0, 2500000000ull * mark, "napi/eth0-8193", "0-1", true },
		       { 78, 1, 40000000, "napi/eth0-8194", "0-1", true },
	       }),
	       sizeof(threads[0]));
	m->threads = threads[mark - 1];
	m->thread_count = 3;
}

/* Sample mode on two CPUs: 0 as above and a third of it idle, 3 busy with something else. */
static const struct result *made_up_sampled(void)
{
	static const uint64_t proc_idle_ns[4] = { 3300000000, 0, 0, 20000000000 };

	begin_result();
	for (int cpu = 0; cpu < 4; cpu += 3) {
		a.cpu[cpu].proc_idle_ns = 1000;
		b.cpu[cpu].proc_idle_ns = 1000 + proc_idle_ns[cpu];
		b.cpu[cpu].wall_ns = b.cpu[cpu].ns[EV_OTHER] = 10000000000;
		a.online[cpu] = b.online[cpu] = true;
	}
	a.counted[PROCESSED] = b.counted[PROCESSED] = true;
	b.cpu[0].counts[PROCESSED] = 1000000;
	set_events(EV_RX_SOFTIRQ, EV_IDLE, SAMPLED, "perf_event:cpu-clock");
	set_events(EV_HARDIRQ, EV_HARDIRQ, UNMEASURED, "none:");
	set_events(EV_IDLE, EV_IDLE, COUNTED, "perf_event:cpu-clock");
	subtract_marks(&b, &a, &r);
	make_up_profile();
	share_out(&r);
	return &r;
}

/* A host of which only /proc tells, by ticks, and not what was dropped: CPU 0 is busy. */
static const struct result *made_up_accounted(void)
{
	begin_result();
	for (int cpu = 0; cpu < 2; cpu++) {
		a.cpu[cpu].accounted_ns = a.cpu[cpu].soft_ns = a.cpu[cpu].proc_idle_ns = 5000000000;
		b.cpu[cpu].accounted_ns = 14990000000;
		b.cpu[cpu].soft_ns = cpu ? 5020000000 : 9000000000;
		b.cpu[cpu].proc_idle_ns = cpu ? 14970000000 : 5500000000;
		b.cpu[cpu].wall_ns = b.cpu[cpu].ns[EV_OTHER] = 10000000000;
		for (int i = 0; i < COUNTS; i++) {
			a.counted[i] = b.counted[i] = i != DROPPED;
			a.cpu[cpu].counts[i] = 4294967290 - cpu; /* and over 32 bits */
			b.cpu[cpu].counts[i] = a.cpu[cpu].counts[i] + 1000 * i + 7;
			if (i < PROCESSED)
				b.cpu[cpu].counts[i] = (uint32_t)b.cpu[cpu].counts[i];
		}
		a.online[cpu] = b.online[cpu] = true;
	}
	make_up_threads(&a, 1);
	make_up_threads(&b, 2);
	set_events(EV_RX_SOFTIRQ, EV_SOFTIRQ, UNMEASURED, "none:");
	set_events(EV_OTHER, EV_IDLE, COUNTED, "procfs:stat");
	r.accounted = true;
	subtract_marks(&b, &a, &r);
	share_out(&r);
	return &r;
}

/* What a router has that is in trouble, so that each thing is noted that can be. */
static void make_up_trouble(int cpus)
{
	for (int cpu = 0; cpu < cpus; cpu++) {
		b.cpu[cpu].lost = 100;
		b.cpu[cpu].parts_ns[PART_KSOFTIRQD] = 0.8 * b.cpu[cpu].ns[EV_RX_SOFTIRQ];
		b.cpu[cpu].unseen_ns = 400000000;
	}
	b.cpu[0].counts[DROPPED] = 1234567;
	b.cpu[0].counts[SQUEEZED] = 1204;
	b.stolen_ns = b.cpu[0].unreturned_ns = 500000000ull * cpus;
	b.cpu[0].unreturned = 1;
}

/*
 * A router of so many CPUs and devices: the last CPU full, by a queue and a thread that may run
 * nowhere else; the first ones less and less busy, the others idle.
 */
static const struct result *made_up_router(int cpus, int devices, bool trouble)
{
	begin_result();
	for (int cpu = 0; cpu < cpus; cpu++) {
		struct times *t = &b.cpu[cpu];
		bool full = trouble && cpu == cpus - 1;

		t->wall_ns = 10000000000;
		t->ns[EV_RX_SOFTIRQ] = full ? 9600000000 : cpu < 12 ? 3000000000 >> cpu : 1000;
		t->ns[EV_SEND] = t->ns[EV_RX_SOFTIRQ] / 100;
		t->ns[EV_OTHER] = full ? 304000000 : 100000000;
		t->ns[EV_IDLE] = t->wall_ns - t->ns[EV_RX_SOFTIRQ] - t->ns[EV_SEND] -
				 t->ns[EV_OTHER];
		t->count[EV_RX_SOFTIRQ] = t->count[EV_SEND] = 1000;
		b.cpu[cpu].counts[PROCESSED] = t->ns[EV_RX_SOFTIRQ] / 4000;
		a.online[cpu] = b.online[cpu] = true;
	}
	for (int i = PROCESSED; i < COUNTS; i++)
		a.counted[i] = b.counted[i] = true;
	if (trouble)
		make_up_trouble(cpus);
	set_events(EV_RX_SOFTIRQ, EV_IDLE, TRACED, "tp_btf:made_up");
	set_events(EV_NET_OTHER, EV_NET_OTHER, SAMPLED, "tp_btf:made_up");
	r.has_parts = r.has_devices = true;
	subtract_marks(&b, &a, &r);
	make_up_profile();
	r.profile.lost = trouble ? 1000 : 0;
	r.max_backlog = 1000;
	r.budget = 300;
	r.budget_usecs = 8000;
	r.rx_queues = 1;
	r.queues = calloc(devices, sizeof(*r.queues));
	for (int i = 0; i < devices; i++) {
		struct queue *q = &r.queues[r.queue_count++];

		snprintf(q->name, sizeof(q->name), "eth%d", i);
		q->id = 8193 + i;
		q->cpu = trouble && !i ? cpus - 1 : i % cpus;
		q->ns = q->device_ns = trouble && !i ? 9000000000 : 50000000 / (i + 1);
		q->polls = 10000;
		q->packets = 640000;
	}
	r.thread_count = trouble ? 2 : 0;
	r.threads = calloc(2, sizeof(*r.threads));
	r.threads[0] = (struct thread) { 77, cpus - 1, 5000000000, "napi/eth0-8193", "", true };
	r.threads[1] = (struct thread) { 78, cpus - 1, 2000000000, "napi/eth1-8194", "0-1", true };
	snprintf(r.threads->cpus, sizeof(r.threads->cpus), "%d", cpus - 1);
	return &r;
}

/* The short report of it, in memory. */
static char *short_text(const struct result *r)
{
	static char text[1 << 16];
	FILE *f = fmemopen(text, sizeof(text), "w");

	print_short(f, r);
	fclose(f);
	return text;
}

/* As if its lines had no end. */
static char *unwrap(char *text)
{
	char *to = text;

	for (char *p = text; *p; p++)
		if (!isspace((uint8_t)*p) || (to > text && to[-1] != ' '))
			*to++ = isspace((uint8_t)*p) ? ' ' : *p;
	*to = 0;
	return text;
}

static unsigned count_lines(const char *text, unsigned *widest)
{
	unsigned lines = 0;

	for (*widest = 0; *text; text += strcspn(text, "\n") + 1, lines++)
		if (strcspn(text, "\n") > *widest)
			*widest = strcspn(text, "\n");
	return lines;
}

static void test_short_report(void)
{
	static const int sizes[] = { 1, 2, 8, 64, MAX_CPUS };
	unsigned widest;

	for (int i = STAGE_NONE + 1; i < STAGES; i++)
		CHECK(stages[i].what && strlen(stages[i].what) <= 28, "%s", stages[i].name);
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		char *text = short_text(made_up_router(sizes[i / 2], 500, i % 2));
		unsigned lines = count_lines(text, &widest);
		bool notes_lost = strstr(unwrap(text), "of the samples were lost");

		CHECK(lines <= 45 && widest <= 79, "%d CPUs: %u lines of %u columns", sizes[i / 2],
		      lines, widest);
		CHECK(notes_lost == i % 2, "%d CPUs: %s", sizes[i / 2], text);
	}
	opt.tasks = 2;
	count_lines(short_text(made_up_result(true)), &widest);
	CHECK(widest <= 79, "tasks: %u columns", widest);
	opt.tasks = 0;
	made_up_sampled();
	CHECK(!strstr(unwrap(short_text(&r)), "more than half of itself"), "narrow");
	r.all.below[EV_NONE] = r.all.above[EV_NONE] = 1e20;
	CHECK(strstr(unwrap(short_text(&r)), "more than half of itself"), "wide");
}

/* The results for test/golden. */
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

/* The events have all the time but the residual; what is told from samples is within its bounds. */
static void check_sums(const struct result *r)
{
	uint64_t sum = r->residual_ns;

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		struct estimate range = event_time(r, &r->all, e);

		sum += range.ns;
		CHECK(range.low_ns <= range.ns && range.ns <= range.high_ns, "%s", r->events[e].name);
	}
	SAME(sum, r->all.wall_ns);
}

/* The numbers themselves are in test/golden. */
static void test_sums(void)
{
	check_sums(made_up_result(false));
	/* what is not measured is no part of net, whatever the kernel side holds */
	SAME(sum_net(&r, r.cpu[0].ns), 1430000000);
	check_sums(made_up_result(true));
	/* ifb receives; a packet that user space sends on by OVS was received before */
	SAME(r.cpu[0].ns[EV_NET_OTHER], 15000000 + 850000000 / 85);
	SAME(estimate_receiving(&r, 0, &(uint64_t) { 0 }).ns, 1420000000 + 15000000);
	check_sums(made_up_sampled());
	check_sums(made_up_accounted());
	CHECK(percent(1, 0) == 0, "%f", percent(1, 0));
}

/* Where no tracepoint tells of devices: the functions that NAPI calls; CPU 3 is idle by /proc. */
static void test_pollers(void)
{
	char seen[256] = "";

	made_up_sampled();
	find_pollers(&r);
	add_poller(&r, "poll_it_tx()", 0, 5000000); /* another one */
	for (size_t i = 0; i < r.queue_count; i++)
		sprintf(seen + strlen(seen), "%s %d %.1f; ", r.queues[i].name, r.queues[i].cpu, r.queues[i].ns / 1e6);
	check_text("pollers", seen, "process_backlog() 0 1688.7; process_backlog() 3 0.0; poll_it() 0 136.9; poll_it_tx() 0 5.0; ");
	free(r.queues);
}

static const char *escaped(const char *name)
{
	static char text[80];

	escape_name(name, 16, text, sizeof(text));
	return text;
}

static void test_escape_name(void)
{
	char text[7];

	CASES(escaped, "eth0 => eth0", "kworker/0:1-x => kworker/0:1-x", "a b => a\\x20b", " => ",
	      ",\"\\\n\r => \\x2c\\x22\\x5c\\x0a\\x0d", "\033[2J\x9b\x7f => \\x1b[2J\\x9b\\x7f",
	      "h\xc3\xa4 => h\\xc3\\xa4", "0123456789abcdefg => 0123456789abcdef");
	escape_name("aaaaaa", 16, text, sizeof(text));
	check_text("room for any character and the 0", text, "aaa");
}

static const char *busiest_text(void)
{
	struct busiest b = find_busiest(&r);

	return b.cpu < 0
		       ? "none"
		       : sformat("CPU %d of %d: %.9g %%, %.9g of the mean, %.9g/s, full at %.9g/s",
				 b.cpu, b.cpus, b.net, b.ratio, b.rate, b.full);
}

/* CPUs of a busy router, by hand: 0 is full to 80 %, 1 has 20 %, 2 is idle. */
static void test_busiest(void)
{
	begin_result();
	set_events(EV_RX_SOFTIRQ, EV_IDLE, TRACED, "tp_btf:made_up");
	check_text("without CPUs", busiest_text(), "none");
	for (int cpu = 0; cpu < 3; cpu++)
		r.cpu[cpu].wall_ns = r.cpu[cpu].ns[EV_IDLE] = 2000000000;
	check_text("idle CPUs", busiest_text(), "none");
	r.cpu[0].ns[EV_RX_SOFTIRQ] = 1000000000;
	r.cpu[0].ns[EV_SEND] = 600000000;
	r.cpu[0].ns[EV_OTHER] = 300000000;
	r.cpu[0].ns[EV_IDLE] = 100000000;
	r.cpu[1].ns[EV_RX_SOFTIRQ] = 400000000;
	r.cpu[1].ns[EV_IDLE] = 1600000000;
	r.cpu[0].counts[PROCESSED] = 1600000; /* 1 us each, of which 0.625 in receiving */
	check_text("a router", busiest_text(),
		   "CPU 0 of 2: 80 %, 1.6 of the mean, 800000/s, full at 850000/s");
	SAME(per_packet((struct estimate) { .ns = r.cpu[0].ns[EV_RX_SOFTIRQ] }, 1600000).ns, 6250);
}

/* A CPU that is plugged in meanwhile: packets are not known, softirqs are. */
static void test_plugged(void)
{
	begin_result();
	for (int cpu = 0; cpu < 2; cpu++) {
		b.cpu[cpu].wall_ns = 1000;
		b.online[cpu] = true;
		for (int i = 0; i < COUNTS; i++) {
			a.counted[i] = b.counted[i] = true;
			b.cpu[cpu].counts[i] = 7;
		}
	}
	a.online[0] = true;
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

/* Whatever steps back, here from 7 to 5, is nothing, and no huge number. */
static void test_stepping_back(void)
{
	uint64_t *before = (uint64_t *)&a.cpu[0], *after = (uint64_t *)&b.cpu[0];
	uint64_t *seen = (uint64_t *)&r.cpu[0], wrong = 0;

	begin_result();
	for (unsigned i = 0; i < SUMS; i++) {
		before[i] = 7;
		after[i] = 5;
	}
	a.cpu[0].ns[EV_IDLE] = 0;
	b.cpu[0].ns[EV_IDLE] = 1000;
	a.cpu[0].ns[EV_NONE] = b.cpu[0].ns[EV_NONE] = b.cpu[0].count[EV_NONE] = 0;
	a.cpu[0].wall_ns = sum_ns((const __u64 *)a.cpu[0].ns);
	b.cpu[0].wall_ns = sum_ns((const __u64 *)b.cpu[0].ns);
	memset(b.cpu[0].longest_ns, 0, sizeof(b.cpu[0].longest_ns)); /* is not subtracted */
	for (int i = PROCESSED; i < COUNTS; i++) {
		a.counted[i] = b.counted[i] = a.online[0] = b.online[0] = true;
		a.cpu[0].counts[i] = 7;
		b.cpu[0].counts[i] = 5;
	}
	a.tasks_lost = a.tasks_lost_ns = a.stolen_ns = a.user_ns = a.kernel_ns = 7;
	b.tasks_lost = b.tasks_lost_ns = b.stolen_ns = b.user_ns = b.kernel_ns = 5;
	a.recursion_misses = 7;
	b.recursion_misses = 5;
	r.has_tasks = true;
	subtract_marks(&b, &a, &r);
	SAME(r.cpu[0].proc_idle_ns, UINT64_MAX);
	SAME(r.cpu[0].ns[EV_IDLE], r.cpu[0].wall_ns);
	r.cpu[0].proc_idle_ns = r.cpu[0].ns[EV_IDLE] = r.cpu[0].wall_ns = 0;
	for (unsigned i = 0; i < sizeof(struct times) / 8; i++)
		wrong += seen[i] != 0;
	for (int i = PROCESSED; i < COUNTS; i++)
		wrong += r.all.counts[i] != 0;
	SAME(wrong, 0);
	SAME(r.tasks_lost + r.tasks_lost_ns + r.stolen_ns + r.user_ns + r.kernel_ns, 0);
	SAME(r.recursion_misses + r.residual_ns, 0);
}

/*
 * What an event was given before a mark that came between a clock and its store is taken from the
 * event that has it now.
 */
static void test_settling(void)
{
	static const struct {
		int event;
		uint64_t before_ns, after_ns, seen_ns;
	} times[] = { { EV_OTHER, 400, 380, 0 },
		      { EV_SEND, 600, 590, 0 },
		      { EV_RECV, 0, 10, 10 },
		      { EV_IDLE, 0, 1020, 990 } };

	begin_result();
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		a.cpu[0].wall_ns += a.cpu[0].ns[times[i].event] = times[i].before_ns;
		b.cpu[0].wall_ns += b.cpu[0].ns[times[i].event] = times[i].after_ns;
	}
	subtract_marks(&b, &a, &r);
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		SAME(r.cpu[0].ns[times[i].event], times[i].seen_ns);
		SAME(r.all.ns[times[i].event], times[i].seen_ns);
	}
	SAME(r.residual_ns, 0);
}

/* What two packages have used since the first time, from their counters; `-` cannot be read. */
static const char *energy_text(const char *counters)
{
	static struct energy e;
	bool first = !e.packages;
	char texts[2][32];

	sscanf(counters, "%31[^ ] %31[^ ]", texts[0], texts[1]);
	for (int i = 0; i < 2; i++) {
		typeof(e.package[0]) *p = &e.package[i];

		if (first)
			p->fd = memfd_create("energy", 0);
		p->range_uj = 1000001;
		ftruncate(p->fd, 0);
		pwrite(p->fd, texts[i], strlen(texts[i]), 0);
		if (first)
			read_package(p->fd, &p->last_uj);
	}
	e.packages = 2;
	read_energy(&e);
	return sformat("%.17g", e.used_uj);
}

static void test_energy(void)
{
	CASES(energy_text, "1000 999990\n => 0", "1500 5 => 516", "- 15 => 526",
	      "1700\n 15 => 726");
}

/* Adds to a text of at most 7 characters. */
static const char *append_text(const char *more)
{
	static char text[8];
	size_t length = strlen(text);
	bool added = append(text, sizeof(text), "%s", more);

	SAME(strlen(text), length + (added ? strlen(more) : 0));
	return text;
}

static void test_append(void)
{
	/* what does not fit is left out whole */
	CASES(append_text, "four => four", "five => four", "six => foursix", " => foursix");
}

/* The CPUs of a stack, as one is listed that was seen on these. */
static const char *listed(const char *cpus)
{
	static struct raw raws[1 + MAX_CPUS];
	static struct profile p = { .raws = raws };
	static char text[256];
	int n = 0;

	for (char *end = (char *)cpus; *end; end += *end == ',') {
		raws[n].next = n + 1;
		raws[++n] = (struct raw) { .cpu = strtol(end, &end, 10) };
	}
	format_cpus_of(&p, &(struct stack) { .first = 1 }, text, sizeof(text));
	return text;
}

static void test_format_cpus_of(void)
{
	char odd[MAX_CPUS * 3] = "1";
	const char *comma;

	CASES(listed, "0 => 0", "5,2,1,0 => 0-2,5", "1,1,1 => 1", "1023 => 1023",
	      "1,3,5,1022,1023 => 1,3,5,1022-1023");
	/* what has no room is left out, and no number is cut */
	for (int cpu = 3, length = 1; cpu < MAX_CPUS; cpu += 2)
		length += sprintf(odd + length, ",%d", cpu);
	comma = strrchr(listed(odd), ',');
	CHECK(comma && atoi(comma + 1) % 2 == 1 && atoi(comma + 1) > 100, "'%s'", listed(odd));
}

/* Whether a stage is within itself, or within one that has no samples. */
static bool is_misplaced(const struct profile *p, const int parents[STAGES], int stage)
{
	int steps = 0;

	for (int at = parents[stage]; at != STAGE_NONE; at = parents[at])
		if (!p->all.stages[EV_SEND][at].total || ++steps > STAGES)
			return true;
	return false;
}

/* Stages in any order within each other: what is printed is a tree, and holds them all. */
static void test_find_parents(void)
{
	static struct profile p;
	uint32_t random = 1;
	int parents[STAGES];

	for (int round = 0; round < 200; round++) {
		memset(&p, 0, sizeof(p));
		for (int i = 0; i < 1 + round; i++) {
			struct classified s = {};
			uint64_t word = 0;
			struct raw raw = { .words = &word, .event = EV_SEND };

			s.path_length = 1 + (random >> 16) % 12;
			for (int j = 0; j < s.path_length; j++) {
				random = random * 1103515245 + 12345;
				s.path[j] = 1 + (random >> 16) % (round % 2 ? STAGES - 1 : 5);
			}
			s.stage = s.path[s.path_length - 1];
			raw.count = 1 + (random >> 20) % 9;
			count_shares(&p.all, &raw, &s);
			count_nesting(&p, &raw, &s);
		}
		find_parents(&p, EV_SEND, parents);
		for (int stage = STAGE_NONE + 1; stage < STAGES; stage++)
			CHECK(!is_misplaced(&p, parents, stage), "round %d: %s is within %s", round,
			      stages[stage].name, stages[parents[stage]].name);
	}
}

/* ==== 6. Samples ==== */

/* Of a second, what a share of samples says. */
static const char *estimate_text(const char *share)
{
	unsigned part, whole;
	struct estimate e;

	sscanf(share, "%u of %u", &part, &whole);
	e = estimate(NSEC_PER_SEC, part, whole);
	return sformat("%" PRIu64 ", %" PRIu64 " to %" PRIu64, e.ns, e.low_ns, e.high_ns);
}

static void test_estimate(void)
{
	/* E. B. Wilson's formula, worked out apart from netto.c */
	CASES(estimate_text, "0 of 10 => 0, 0 to 277532803",
	      "1 of 10 => 100000000, 17876213 to 404150030",
	      "5 of 10 => 500000000, 236593089 to 763406911",
	      "10 of 10 => 1000000000, 722467197 to 1000000000",
	      "300 of 1000 => 300000000, 272406842 to 329123861", "0 of 0 => 0, 0 to 1000000000");
}

/* The periods of all CPUs must differ, and be longer than CPU 0's by at most 1 %. */
static void check_periods(uint64_t period, int cpus)
{
	unsigned in_step = 0, wrong = 0;

	for (int a = 1; a < cpus; a++) {
		uint64_t of_a = sample_period(period, a);

		wrong += of_a <= period || of_a > period + period / 100;
		for (int b = 0; b < a; b++)
			in_step += sample_period(period, b) == of_a;
	}
	SAME(sample_period(period, 0), period);
	SAME(wrong, 0);
	SAME(in_step, 0);
}

static void test_sample_period(void)
{
	check_periods(NSEC_PER_SEC / 997, MAX_CPUS);
	check_periods(NSEC_PER_SEC / 20000, 128);
	check_periods(6000000000, MAX_CPUS);
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

/* The table never takes more than is said, and a short and slow measurement has room too. */
static void test_size_table(void)
{
	static const unsigned rates[] = { 1, 10, 997, 1000, 1001, 2000, 3899, 3900, 4000, MAX_HZ };
	static const double seconds[] = { 0.001, 0.1, 1, 10, 3600, MAX_SECONDS };
	static const int cpus[] = { 1, 2, 64, MAX_CPUS };
	double memory = (double)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);

	for (unsigned i = 0; i < ARRAY_SIZE(rates) * ARRAY_SIZE(seconds) * 8; i++) {
		struct sampler s = { .hz = rates[i / 8 / ARRAY_SIZE(seconds)],
				     .cpus = cpus[i / 2 % 4],
				     .nr_bufs = 1 + i % 2 };
		double size, limit = s.hz <= 1000 ? 1 << 20 : 4 << 20;
		double time = seconds[i / 8 % ARRAY_SIZE(seconds)];

		size_table(&s, time);
		size = (double)s.buf_size * s.nr_bufs;
		CHECK(size <= limit + 4096 && size * s.cpus <= memory / 16 + 4096.0 * s.cpus,
		      "%u Hz, %f s, %d CPUs: %.0f bytes on each", s.hz, time, s.cpus, size);
		CHECK(s.hash_slots >= 16 && !(s.hash_slots & (s.hash_slots - 1)) && s.stack_words >= 1 + MAX_DEPTH,
		      "%u Hz, %f s, %d CPUs: %u slots, %u words", s.hz, time, s.cpus, s.hash_slots,
		      s.stack_words);
	}
}

/* Puts a record behind the others, over the end of the ring. */
static void put_record(struct perf_event_mmap_page *page, uint32_t type, uint64_t time_ns,
		       uint64_t count, const uint64_t *words)
{
	struct record record = { .header = { .type = type, .size = 24 },
				 .time_ns = time_ns,
				 .count = count };
	char *ring = (char *)page + sysconf(_SC_PAGESIZE);

	if (words) {
		record.header.size += 8 * count;
		memcpy(record.words, words, 8 * count);
	}
	for (int i = 0; i < record.header.size; i++)
		ring[page->data_head++ % RING_BYTES] = ((char *)&record)[i];
}

static const uint64_t ring_stacks[2][3] = {
	{ PERF_CONTEXT_KERNEL, 0xffffffff81000001, 0xffffffff81000003 },
	{ PERF_CONTEXT_KERNEL, 0xffffffff81000001, 0xffffffff81000002 },
};

/* Checks what was counted in an interval of test_rings(). */
static void check_interval(struct profile *p, const struct sampler *s, uint32_t interval_id)
{
	uint64_t empty = 0, counts[2] = {};

	read_tables(p, s, interval_id);
	SAME(p->raw_count, 1 + 3);
	for (uint32_t i = 1; i < p->raw_count; i++) {
		const struct raw *raw = &p->raws[i];

		SAME(raw_owner(raw), EV_OTHER);
		if (!raw_depth(raw)) {
			empty += raw->count;
			continue;
		}
		SAME(raw_depth(raw), 2);
		for (int which = 0; which < 2; which++)
			if (!memcmp(raw->words + 1, ring_stacks[which] + 1, 16))
				counts[which] += raw->count;
	}
	SAME(empty, 25000);
	SAME(counts[0], 475000);
	SAME(counts[1], 500000);
}

/* Records of a ring that goes round a thousand times: each is counted once, for its interval. */
static void test_rings(void)
{
	static uint64_t memory[(RING_BYTES + 65536) / 8] __attribute__((aligned(65536)));
	struct sampler s = { .cpus = 1, .hz = 997, .nr_bufs = 2, .started_ns = 100 };
	static struct profile p;

	s.rings[0] = (void *)memory;
	size_table(&s, 10);
	s.tables = calloc(2, s.buf_size);
	for (uint64_t i = 0; i < 3000000; i++) {
		/* of each three: of before the start; one of 40 out of user space; for the next */
		uint64_t time_ns = i % 3 == 0 ? 99 : i % 3 == 1 ? 100 : 200;

		put_record(s.rings[0], PERF_RECORD_SAMPLE, time_ns, i % 40 ? 3 : 0,
			   ring_stacks[i % 2]);
		if (i % 1000000 == 0)
			put_record(s.rings[0], PERF_RECORD_LOST, 77, 5, NULL);
		if (i % 1000 == 0)
			read_rings(&s, 6, 200);
	}
	read_rings(&s, 6, 200);
	SAME(s.rings[0]->data_tail, s.rings[0]->data_head);
	check_interval(&p, &s, 6);
	check_interval(&p, &s, 7);
	SAME(p.lost, 15);
	/* the half of interval 6 is empty for interval 8 */
	SAME(buf_for(&s, 0, 8)->used, 0);
	SAME(buf_for(&s, 0, 8)->full, 0);
	/* a table that is full */
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

/* NAME, or NAME[MODULE], of what is at an address, of which the first ffffffff may be left out. */
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
		/* ftrace's memory of the freed code that has initialised a module */
		"ffffffffc0100000 T mod_a_init\t[mod_a]\n"
		"ffffffffc0000180 T mod_ab_init\t[mod_ab]\n"
		"ffffffffc0200000 t bpf_prog_6deef7357e7b4530_x\t[bpf]\n";

	SAME(read_lines(lines, strlen(lines)), 0);
	SAME(symbols.count, 2 + 14);
	CASES(name_at, "0 => [unknown]", "0000000000000001 => [unknown]", "80ffffff => [unknown]",
	      "81000000 => _stext", "810000ff => _stext", "81000190 => one", "81000200 => two",
	      "81000312 => three", "81000400 => .four", "81000500 => __pfx_",
	      "bfffffff => [unknown]", "c0000000 => five[mod_a]", "c00000ff => five[mod_a]",
	      "c0000100 => six[mod_a]", "c0000190 => six[mod_a]", "c0100000 => seven[mod_ab]",
	      "c0100010 => seven[mod_ab]", "c0200000 => bpf_prog_6deef7357e7b4530_x[bpf]",
	      "c0300010 => eight[mod_b]", "c0400048 => next[mod_c]", "ffffffff => [unknown]");
	/* its padding is a function's own */
	CASES(name_at, "81000308 => three", "c0400018 => small[mod_c]");
	/* a function of the kernel may have 1 MB, one of a module 64 kB */
	CASES(name_at, "811004ff => __pfx_", "81100500 => [unknown]", "c00100ff => six[mod_a]",
	      "c0010100 => [unknown]");
}

/* What is no line of kallsyms, or is longer than netto's buffer, between good ones. */
static void test_bad_symbols(void)
{
	static const char no_addresses[] = "0000000000000000 T _stext\n"
					   "0000000000000000 t one\t[mod_a]\n";
	static const char garbage[] = "\n \n"
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
				      "ffffffff81000400 t last";
	static char lines[400000];

	SAME(read_lines("", 0), -EACCES);
	SAME(read_lines(no_addresses, strlen(no_addresses)), -EACCES);
	SAME(read_lines(garbage, strlen(garbage)), 0);
	CASES(name_at, "81000000 => good", "81000100 => tab", "81000200 => bracket",
	      "81000300 => open[mod]");
	memset(lines, 'x', sizeof(lines));
	for (size_t length = 1000; length < sizeof(lines) - 300; length = length * 3 + 7) {
		int good = sprintf(lines, "ffffffff81000000 t good\nffffffff81000100 t ");
		int end = sprintf(lines + good + length, "\nffffffff81000200 t end\n");

		lines[good] = 'x';
		SAME(read_lines(lines, good + length + end), 0);
		CASES(name_at, "81000000 => good", "81000200 => end");
		memset(lines + good + length, 'x', end + 1);
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
		SAME(read_lines(lines, to - lines), 0);
		took_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns;
		CHECK(took_ns < 4 * NSEC_PER_SEC, "%.3f s", took_ns / 1e9);
		SAME(symbols.count, 2 + COUNT);
		/* 81000000 and 16 * 123456, and 5 */
		check_text("a function", name_at("811e2405"),
			   reverse ? "function_876543[mod]" : "function_123456[mod]");
	}
	free(lines);
}

/* No name may stand in two lists of the same kind, or twice in one: the classes would mix. */
static void check_lists(const char *kind, const char *const lists[], const char *const owners[],
			int count)
{
	static struct {
		const char *name, *owner;
		size_t length;
	} seen[4096];
	size_t n = 0;

	for (int i = 0; i < count; i++) {
		for (const char *name = lists[i]; name && *name; name += strspn(name, " ")) {
			size_t length = strcspn(name, " ");

			for (size_t j = 0; j < n; j++)
				if (seen[j].length == length && !memcmp(seen[j].name, name, length))
					CHECK(false, "%.*s is in the %s of %s and of %s",
					      (int)length, name, kind, seen[j].owner, owners[i]);
			seen[n].name = name;
			seen[n].owner = owners[i];
			seen[n++].length = length;
			name += length;
		}
	}
	CHECK(n > 0 && n < ARRAY_SIZE(seen), "%zu %s", n, kind);
}

static int events_with_roots(void)
{
	static struct session s = { .sampler.hz = 1 };
	int count = 0;

	for (int i = 0; i < MAX_PROBES; i++) {
		s.probes[i].event = skel->rodata->probes[i].event;
		s.probes[i].how = skel->rodata->probes[i].how;
	}
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		count += is_sampled(&s, e);
	return count;
}

static void test_tables(void)
{
	static struct symbols s;
	/* by column of stages[]; then the same of activities[] and of roots[] */
	static const char *const kinds[] = { "names", "symbols", "modules", "callers" };
	const char *names[STAGES], *lists[4][STAGES];

	for (int i = 0; i < STAGES; i++) {
		CHECK(i == STAGE_NONE || (stages[i].name && stages[i].name[0]),
		      "stage %d has no name", i);
		lists[0][i] = names[i] = stages[i].name;
		lists[1][i] = stages[i].symbols;
		lists[2][i] = stages[i].modules;
		lists[3][i] = stages[i].callers;
	}
	for (int i = 0; i < 4; i++)
		check_lists(kinds[i], lists[i], names, STAGES);
	for (int i = 0; i < ACTIVITIES; i++) {
		names[i] = activities[i].name;
		lists[0][i] = activities[i].symbols;
	}
	check_lists("activities", lists[0], names, ACTIVITIES);
	for (unsigned i = 0; i < ARRAY_SIZE(roots); i++) {
		names[i] = event_name(roots[i].event);
		lists[0][i] = roots[i].symbols;
	}
	check_lists("roots", lists[0], names, ARRAY_SIZE(roots));

	s.rodata = skel->rodata;
	make_rules(&s);
	SAME(events_with_roots(), EV_MAX - 1 - 1); /* top halves have none */
	CHECK(s.rule_count <= ARRAY_SIZE(s.rules), "%u rules", s.rule_count);
}

/* ==== 8. Stacks, sorted ==== */

/* What netto says of a stack: the event, the stages from the root to the leaf, /ACTIVITY. */
static const char *told(const struct classified *s)
{
	static char text[4096];

	snprintf(text, sizeof(text), "%s", event_name(s->event));
	for (int i = 0; i < s->path_length; i++)
		append(text, sizeof(text), " %s", stages[s->path[i]].name);
	if (s->activity)
		append(text, sizeof(text), " /%s", activities[s->activity].name);
	return text;
}

/* Puts what the first word of such a text stands for in its place, if it is a word. */
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

/*
 * The stacks of a file, of one kernel. All functions are named before the first stack is sorted:
 * the order of the names of an address differs with the number of all functions.
 */
static void check_stacks(const char *path)
{
	static struct profile p = { .symbols = &symbols };
	uint64_t words[1 + MAX_DEPTH];
	struct classified s;

	begin_kernel(path);
	for (struct example *e = examples; e < examples + example_count; e++)
		stack_addresses(e->frames, words + 1);
	read_kernel();
	for (struct example *e = examples; e < examples + example_count; e++) {
		int owner = e->owner ? find_event(e->owner) : EV_NONE;

		if (e->word)
			continue;
		words[0] = owner | stack_addresses(e->frames, words + 1) << 8;
		classify_raw(&p, &(struct raw) { .words = words }, &s);
		check_text(e->frames, told(&s), expand(e->told));
		SAME(s.stage, s.path[s.path_length - 1]);
		/* it was interrupted, or what it does is not traced */
		CHECK(!owner || owner == EV_HARDIRQ || s.event == owner || !s.event ||
			      s.event == EV_SOFTIRQ || s.event == EV_TCP_WORK,
		      "the probes said %s: %s", e->owner, e->frames);
	}
}

static void test_stacks(void)
{
	glob_t files;

	CHECK(!glob("test/stacks/*.txt", 0, NULL, &files) && files.gl_pathc >= 8,
	      "test/stacks: too few kernels: run test/run --stacks");
	for (size_t i = 0; i < files.gl_pathc; i++) {
		check_stacks(files.gl_pathv[i]);
		CHECK(example_count >= 50 || strstr(files.gl_pathv[i], "made-up"),
		      "%s: %d stacks", files.gl_pathv[i], example_count);
	}
	globfree(&files);
}

/* A kprobe's breakpoint is in the first instructions of a function, behind its padding if it has that. */
static void test_breakpoints(void)
{
	static const char *const paths[] = { "test/stacks/made-up.txt", "test/stacks/made-up-5.10.txt" };
	uint64_t addresses[4];
	struct classified s;

	for (int i = 0; i < 4; i++) {
		begin_kernel(paths[i / 2]);
		stack_addresses("inet_sendmsg^ sock_sendmsg inet_sendmsg __sys_sendto", addresses);
		read_kernel();
		symbols.has_kprobes = true;
		classify_stack(&symbols, addresses + i % 2 * 2, 2, &s);
		check_text(paths[i / 2], told(&s), i % 2 ? "send socket" : "- socket tracing");
	}
	symbols.has_kprobes = false;
}

/* As many frames as there can be; every second one a root, or none. */
static void test_deepest_stack(void)
{
	static const char *const others[] = {
		"tcp_ack", "ip_output", "inet_sendmsg", "__netif_receive_skb_core",
		"bpf_trampoline_1[bpf]", "@0", "@ffffffffff000000",
	};
	uint64_t addresses[MAX_DEPTH + 1];
	struct classified s;

	begin_kernel(MADE_UP);
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		for (int k = 0; k < MAX_DEPTH; k += 2)
			make_up_stack(sformat("ip_output %s", others[i]), addresses + k);
		classify_stack(&symbols, addresses, MAX_DEPTH, &s);
		CHECK(s.depth > 0 && s.depth <= MAX_DEPTH && s.path_length > 0 &&
			      s.path_length <= 2 * MAX_DEPTH,
		      "%s: %d frames, %d stages", others[i], s.depth, s.path_length);
	}
}

/* ==== 9. Recording stacks ==== */

/* As many frames as it takes to be sorted as the whole is, and some that must then be left out. */
static int needed_depth(const struct raw *raw, const struct classified *whole)
{
	enum { BEYOND = 3 };
	char *wanted = strdup(told(whole));
	struct classified part;
	int n = 0;

	do
		classify_stack(&symbols, raw->words + 1, ++n, &part);
	while (n + BEYOND < raw_depth(raw) &&
	       (part.depth != whole->depth || strcmp(told(&part), wanted)));
	free(wanted);
	return n + BEYOND < raw_depth(raw) ? n + BEYOND : raw_depth(raw);
}

/* Prints a frame: all names of its function. Returns whether the next one is no return address. */
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
 * Prints a stack of each owner, root, stage and activity: the most sampled one of the interval in
 * which it was first seen.
 */
static void print_examples(const struct profile *p)
{
	static uint64_t printed[1024];
	static size_t count;

	for (size_t i = 0; i < p->stack_count && count < ARRAY_SIZE(printed); i++) {
		const struct raw *raw = &p->raws[p->stacks[i].first];
		struct classified s;
		bool exact = true;
		uint64_t key;
		size_t at = 0;

		classify_raw(p, raw, &s);
		key = add_to_hash(add_to_hash(raw->event, s.event), s.stage << 8 | s.activity);
		while (at < count && printed[at] != key)
			at++;
		if (at < count)
			continue;
		printed[count++] = key;
		printf("%s: ", event_name(raw->event));
		for (int k = 0; k < needed_depth(raw, &s); k++)
			exact = print_frame(raw->words[1 + k], exact);
		printf("=> %s\n", told(&s));
	}
}

/*
 * Measures for some seconds, or until a signal, and prints stacks that it sampled. The symbols are
 * read again at each interval, since modules are loaded meanwhile.
 */
static int record(double seconds)
{
	static struct session s;
	static struct marks marks;
	static struct profile p = { .symbols = &symbols };
	uint64_t end_ns, next_ns, samples = 0, unknown = 0, lost = 0;
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
	end_ns = now_ns(CLOCK_MONOTONIC) + seconds * NSEC_PER_SEC;
	status = make_mark(&s, &marks, 1);
	fputs("recording\n", stderr);
	for (uint32_t interval_id = 1; !status && !ended; interval_id++) {
		next_ns = now_ns(CLOCK_MONOTONIC) + opt.seconds * NSEC_PER_SEC;
		ended = wait_until(&s, fmin(next_ns, end_ns), interval_id) || next_ns >= end_ns;
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
} tests[] = { TEST(parse_number), TEST(parse_cpus), TEST(parse_options), TEST(sums),
	      TEST(pollers), TEST(escape_name), TEST(busiest),
	      TEST(plugged), TEST(settling), TEST(stepping_back), TEST(energy), TEST(append), TEST(breakpoints),
	      TEST(format_cpus_of), TEST(short_report), TEST(find_parents), TEST(estimate),
	      TEST(sample_period), TEST(count_missed), TEST(size_table), TEST(rings), TEST(symbols),
	      TEST(bad_symbols), TEST(many_symbols), TEST(tables), TEST(stacks),
	      TEST(deepest_stack) };

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	test = word;
	skel = netto__open();
	symbols.rodata = skel->rodata;
	if (argc == 3 && !strcmp(word, "record"))
		return record(atof(argv[2]));
	if (!strcmp(word, "short") || !strcmp(word, "table") || !strcmp(word, "csv") || !strcmp(word, "folded"))
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
