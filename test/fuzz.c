// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzes all that netto.c reads from outside. This file includes netto.c whole, and gives netto.c
 * parts of an input for the files that it opens.
 *
 * The first byte of an input chooses the reader (see `readers`). Form feeds separate the parts of
 * the rest. Each file that netto.c opens is the next part. After the last part, open() fails. The
 * sanitizers find faults of memory. EXPECT() checks what must hold for any input; what netto.c must
 * make of a certain input is in test/unit.c.
 *
 *	build/test/replay FILE		runs one input
 *	build/test/fuzz DIRECTORY	runs libFuzzer, which keeps inputs that reach new code there
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *input, *input_end; /* the rest of the input; NULL: nothing is left */
static size_t most_read = SIZE_MAX;   /* bytes that one read() gives at most */

struct part {
	const char *start;
	size_t size;
};

static struct part next_part(void)
{
	struct part part = { input, input ? input_end - input : 0 };
	const char *end = input ? memchr(input, '\f', part.size) : NULL;

	if (end)
		part.size = end - input;
	input = end ? end + 1 : NULL;
	return part;
}

/* The next part as a string, which the caller frees. ASan finds accesses behind its end. */
static char *next_string(void)
{
	struct part part = next_part();

	return part.start ? strndup(part.start, part.size) : strdup("");
}

static int open_part(const char *path)
{
	struct part part = next_part();
	int fd = part.start ? memfd_create(path, 0) : -1;

	if (fd >= 0 && (write(fd, part.start, part.size) < 0 || lseek(fd, 0, SEEK_SET)))
		abort();
	return fd;
}

static FILE *fopen_part(void)
{
	struct part part = next_part();

	return part.start ? fmemopen((char *)part.start, part.size, "r") : NULL;
}

static ssize_t read_some(int fd, void *buffer, size_t size)
{
	return read(fd, buffer, size < most_read ? size : most_read);
}

/* libbpf opens no object here. `--help events`, which reads no input, needs these two. */
#include <bpf/libbpf.h>
#define bpf_object__open_skeleton(skeleton, opts) ((void)(opts), -1)
#define bpf_object__destroy_skeleton(skeleton)	  (void)(skeleton)

/* Static, so that the compiler drops it with all that needs libbpf. */
static int netto_main(int argc, char **argv);

#define main		       netto_main
#define open(path, ...)	       open_part(path)
#define fopen(path, mode)      fopen_part()
#define read(fd, buffer, size) read_some(fd, buffer, size)
#undef stderr
#define stderr stdout /* messages */
#include "../netto.c"
#undef main
#undef open
#undef fopen
#undef read
#undef stderr

#define EXPECT(what)                                                                               \
	((what) ? (void)0 : (fprintf(stderr, "fuzz.c:%d: not so: %s\n", __LINE__, #what), abort()))

static char printed[MAX_CPUS * 200]; /* what was read, printed again */

/* Adds to `printed`, which is the input from then on. */
static void put_input(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsprintf(printed + strlen(printed), format, args);
	va_end(args);
	input = printed;
	input_end = printed + strlen(printed);
}

/* A list marks its last CPU, and none behind it. */
static void fuzz_cpus(void)
{
	bool cpus[MAX_CPUS] = {};
	int last = read_cpus("online", cpus);

	EXPECT(last >= -1 && last < INT_MAX);
	EXPECT(last < 0 || last >= MAX_CPUS || cpus[last]);
	for (int cpu = last + 1; last >= 0 && cpu < MAX_CPUS; cpu++)
		EXPECT(!cpus[cpu]);
}

/* Parts: NETTO_WITHOUT, in which whole words count; the number of a network card. */
static void fuzz_words(void)
{
	char *words = next_string(), *spaced;
	uint64_t n = read_number("/sys/class/net/%s/ifindex", "eth0");

	put_input("%" PRIu64 "\n", n);
	EXPECT(read_number("/sys/class/net/%s/ifindex", "eth0") == n);
	setenv("NETTO_WITHOUT", words, true);
	if (asprintf(&spaced, " %s ", words) < 0)
		abort();
	EXPECT(pretends_missing("bpf") == !!strstr(spaced, " bpf "));
	unsetenv("NETTO_WITHOUT");
	free(spaced);
	free(words);
}

/* The decision whether to sample. Parts: CPUs, kallsyms, kernel.perf_event_max_stack, _paranoid. */
static void fuzz_plan(void)
{
	static struct sampler s;

	memset(&s, 0, sizeof(s));
	plan_samples(&s);
	EXPECT(s.cpus >= 0 && (!s.hz || s.cpus <= MAX_CPUS));
	EXPECT(!s.hz || (s.max_depth > 0 && s.max_depth <= MAX_DEPTH));
	if (s.kallsyms >= 0)
		close(s.kallsyms);
	explain_no_events(&s, -EACCES);
	EXPECT(!s.hz && strlen(s.why_not) < sizeof(s.why_not));
}

static struct symbols symbols, in_pieces;

/* Symbols are sorted, each has a name, and the result does not depend on what one read() gives. */
static int fuzz_kallsyms(void)
{
	static const struct netto__rodata no_probes;
	int fd = open_part("kallsyms"), err;

	if (fd < 0)
		return -EBADF;
	err = read_symbols(&symbols, fd);
	most_read = 37;
	EXPECT(read_symbols(&in_pieces, fd) == err);
	most_read = SIZE_MAX;
	close(fd);
	for (size_t i = 0; !err && i < symbols.count; i++) {
		const struct symbol *s = &symbols.list[i];

		EXPECT(!i || s[-1].address <= s->address);
		EXPECT(s->name < symbols.used && s->module < symbols.used);
	}
	EXPECT(symbols.count == in_pieces.count && symbols.used == in_pieces.used);
	EXPECT(!memcmp(symbols.names, in_pieces.names, symbols.used));
	EXPECT(!symbols.names[0] && !symbols.names[symbols.used - 1]);
	symbols.rodata = &no_probes;
	if (!symbols.rule_count)
		make_rules(&symbols);
	if (!err)
		classify(&symbols, &symbols.list[TRACING_SYMBOL]);
	return err;
}

/*
 * Counts the next stack. The first byte has the number of frames, and its highest bit a top half.
 * Two bytes for each frame are the symbol and the offset in it; offset z makes address 0.
 */
static void count_next_stack(struct sampler *s)
{
	stack_buf_t *h = buf_for(s, 0, 1);
	uint64_t stack[MAX_DEPTH], *words = (uint64_t *)&h->slots[s->hash_slots] + h->used;
	uint8_t first = *input++;
	unsigned depth = 0;

	for (; depth < (first & MAX_DEPTH) && input_end - input >= 2; input += 2) {
		uint64_t address = symbols.list[(uint8_t)input[0] % symbols.count].address;

		stack[depth++] = input[1] == 'z' ? 0 : address + (uint8_t)input[1];
	}
	count_stack(s, h, stack, depth);
	if (first > MAX_DEPTH)
		*words = (*words & ~255ull) | EV_HARDIRQ;
}

/* Stacks are classified and printed; each sample is counted once. Parts: kallsyms; stacks. */
static void fuzz_stacks(void)
{
	static struct sampler s = { .cpus = 1, .nr_bufs = 1, .hz = 997 };
	static struct result r = { .profile = { .symbols = &symbols } };
	struct profile *p = &r.profile;
	uint64_t taken = 0, sum = 0, self = 0;

	size_table(&s, 0.1);
	s.tables = calloc(1, s.buf_size);
	p->max_depth = MAX_DEPTH;
	for (int e = 0; e < EV_MAX; e++) {
		p->from_samples[e] = true;
		r.events[e].name = "event";
	}
	for (int err = fuzz_kallsyms(); !err && input && input < input_end; taken++)
		count_next_stack(&s);
	symbols.has_kprobes = taken % 2;
	EXPECT(read_tables(p, &s, 1) && classify_raws(p) && p->samples + p->lost == taken);
	for (size_t i = 0; i < p->stack_count; i++)
		sum += p->stacks[i].count;
	for (int i = 0; i < EV_MAX * STAGES; i++)
		self += p->all.stages[i / STAGES][i % STAGES].self;
	EXPECT(sum == p->net_samples && self == sum);
	print_folded(stdout, &r);
	clear_profile(p);
	free(s.tables);
	free_symbols(&symbols);
	free_symbols(&in_pieces);
}

/* Each part is a reading of softnet_stat. No sum grows by 2^32 or more from one to the next. */
static void fuzz_softnet(void)
{
	static struct softnet s, again;
	bool online[MAX_CPUS] = { [1] = true, [2] = true, [MAX_CPUS - 1] = true };
	uint64_t readings = 0;

	memset(&s, 0, sizeof(s));
	memset(&again, 0, sizeof(again));
	for (; input; readings++)
		read_softnet(&s, online);
	for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
		const uint32_t *l = s.last[cpu];

		for (int i = 0; i < PACKETS; i++)
			EXPECT(s.sums[cpu][i] <= readings * 1000 * UINT32_MAX &&
			       (s.known || !l[i]));
		if (s.seen[cpu])
			put_input("%x %x %x 0 0 0 0 0 0 %x 0 0 %x\n", l[0], l[1], l[2], l[3], cpu);
	}
	read_softnet(&again, online);
	EXPECT(!memcmp(s.last, again.last, sizeof(s.last)) && s.known == again.known);
}

static struct marks marks, marks_again; /* 0 at first */

static void fuzz_softirqs(void)
{
	read_softirqs(&marks);
	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		put_input(" CPU%d", cpu);
	for (int which = RX_SOFTIRQS; which <= TX_SOFTIRQS; which++) {
		put_input("\n NET_%cX:", which == RX_SOFTIRQS ? 'R' : 'T');
		for (int cpu = 0; cpu < MAX_CPUS; cpu++)
			put_input(" %" PRIu64, marks.cpu[cpu].counts[which]);
	}
	read_softirqs(&marks_again);
	EXPECT(!memcmp(marks.cpu, marks_again.cpu, sizeof(marks.cpu)));
}

static void fuzz_stat(void)
{
	const uint64_t tick_ns = NSEC_PER_SEC / sysconf(_SC_CLK_TCK);

	read_stat(&marks);
	put_input("cpu  0 0 0 0 0 0 0 %" PRIu64 "\n", marks.stolen_ns / tick_ns);
	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		if (marks.cpu[cpu].proc_idle_ns)
			put_input("cpu%d 0 0 0 %" PRIu64 " 0 0\n", cpu,
				  marks.cpu[cpu].proc_idle_ns / tick_ns);
	read_stat(&marks_again);
	EXPECT(marks.stolen_ns / tick_ns == marks_again.stolen_ns / tick_ns);
	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		EXPECT(marks.cpu[cpu].proc_idle_ns / tick_ns ==
		       marks_again.cpu[cpu].proc_idle_ns / tick_ns);
}

/* Parts: name, range and counter of each zone; an empty part; later values of the first counter. */
static void fuzz_energy(void)
{
	static struct energy e;
	double used = 0;

	memset(&e, 0, sizeof(e));
	open_energy(&e);
	EXPECT(e.packages <= ARRAY_SIZE(e.package));
	while (input) {
		struct part part = next_part();

		if (e.packages && (ftruncate(e.package[0].fd, 0) ||
				   pwrite(e.package[0].fd, part.start, part.size, 0) < 0))
			abort();
		read_energy(&e);
		EXPECT(e.used_uj >= used);
		EXPECT(e.used_uj - used <=
		       fmax(e.package[0].range_uj, e.package[0].last_uj) + e.used_uj / 1e9);
		used = e.used_uj;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(e.package); i++)
		if (e.package[i].fd > 0)
			close(e.package[i].fd);
}

/* Two bytes: how many words before the end of the ring the records begin. Then the records. */
static void fuzz_ring(void)
{
	static char memory[4096 + RING_BYTES] __attribute__((aligned(4096)));
	static struct sampler s = { .cpus = 1, .hz = 997, .nr_bufs = 2, .started_ns = 256 };
	struct perf_event_mmap_page *page = (void *)memory;
	uint64_t most;

	if (!input || input_end - input < 2)
		return;
	page->data_head = 3 * RING_BYTES - 8 * ((uint8_t)input[0] + ((uint8_t)input[1] << 8));
	page->data_tail = page->data_head;
	for (input += 2; input < input_end; input++)
		memory[4096 + page->data_head++ % RING_BYTES] = *input;
	size_table(&s, 0.01);
	s.rings[0] = page;
	s.tables = calloc(2, s.buf_size);
	most = (page->data_head - page->data_tail) / sizeof(struct perf_event_header);
	read_rings(&s, 1, 65536);
	EXPECT(page->data_tail == page->data_head);
	for (int interval_id = 1; interval_id <= 2; interval_id++) {
		const stack_buf_t *h = buf_at(&s, 0, interval_id);

		EXPECT(h->used <= s.stack_words);
		for (unsigned i = 0; i < s.hash_slots; i++)
			EXPECT(h->slots[i].count <= most);
	}
	free(s.tables);
}

/* Each line is an argument. The options that are accepted are in range. */
static void fuzz_options(void)
{
	static typeof(opt) defaults;
	char *text = next_string(), *rest = text, *argv[32] = { "netto" };
	int argc = 1;

	if (!defaults.count)
		defaults = opt;
	while (rest && argc < 31)
		argv[argc++] = strsep(&rest, "\n");
	opt = defaults;
	optind = 0;
	if (parse_options(argc, argv) < 0) {
		EXPECT(opt.seconds >= 0.001 && opt.seconds <= MAX_SECONDS);
		EXPECT(opt.count >= 0 && opt.count <= MAX_COUNT && opt.freq <= MAX_HZ);
		EXPECT(opt.stacks <= MAX_COUNT || opt.stacks == UINT_MAX);
		EXPECT(opt.tasks <= MAX_COUNT && opt.mode <= SAMPLE);
		EXPECT(!(opt.csv && opt.folded) && (!opt.command || opt.command[0]));
	}
	free(text);
}

/* Reads a field of CSV. Returns what is behind the field. */
static const char *read_field(const char *p, char *field)
{
	bool quoted = *p == '"';

	for (p += quoted; *p && (quoted || !strchr(",\r\n", *p)); p++) {
		if (quoted && *p == '"' && *++p != '"')
			break;
		EXPECT(quoted || *p != '"');
		*field++ = *p;
	}
	*field = 0;
	return p;
}

/*
 * Names that users choose are safe in a report, and CSV gives back what was put in. Parts: the name
 * of a process and of a device; the name of the host; the name in a row.
 */
static void fuzz_names(void)
{
	static struct result r = { .cpu[0].wall_ns = 1 };
	static struct process process = { .pid = UINT32_MAX };
	static polled_t before, after;
	struct part part = next_part();
	char name[100], field[4096], *host = next_string(), *text = next_string(), *row;
	size_t size, fields = 0;
	FILE *f = open_memstream(&row, &size);

	memset(process.did.name, 0, sizeof(process.did.name));
	if (part.size > sizeof(process.did.name))
		part.size = sizeof(process.did.name);
	memcpy(process.did.name, part.size ? part.start : "", part.size);
	memcpy(after.places[0].name, process.did.name, sizeof(process.did.name));
	after.places[0].net = UINT32_MAX;
	after.places[0].polls = part.size;
	marks.polled = &before;
	marks_again.polled = &after;
	diff_queues(&marks_again, &marks, &r);
	EXPECT(r.queue_count == (part.size > 0));
	for (unsigned i = 0; i <= r.queue_count; i++) {
		strcpy(name, i ? r.queues[0].name : process_name(&process));
		for (const char *p = name; *p; p++)
			EXPECT(*p > ' ' && *p < 127 && !strchr(",\"", *p));
		for (const char *p = name; (p = strchr(p, '\\')); p += 4)
			EXPECT(p[1] == 'x' && strspn(p + 2, "0123456789abcdef") >= 2);
		if (name[0] != '(')
			EXPECT(strstr(name, i ? "@4294967295" : ":4294967295"));
	}
	free(r.queues);
	r.queues = NULL;
	r.queue_room = 0;
	snprintf(r.host.nodename, sizeof(r.host.nodename), "%s", host);
	text[strnlen(text, sizeof(field) - 1)] = 0;
	CSV_ROW(f, &r, "run", ALL_CPUS, .name = { text });
	fclose(f);
	for (const char *p = row; fields < 100; p++, fields++) {
		p = read_field(p, field);
		EXPECT(fields != 1 || !strcmp(field, r.host.nodename));
		EXPECT(fields != 4 || !strcmp(field, text));
		if (*p != ',')
			break;
	}
	EXPECT(fields == 12);
	free(row);
	free(host);
	free(text);
}

static const struct {
	char letter;
	void (*read)(void);
} readers[] = {
	{ 'c', fuzz_cpus },    { 'e', fuzz_energy }, { 'k', fuzz_stacks },   { 'n', fuzz_names },
	{ 'o', fuzz_options }, { 'p', fuzz_plan },   { 'q', fuzz_softirqs }, { 'r', fuzz_ring },
	{ 's', fuzz_softnet }, { 't', fuzz_stat },   { 'w', fuzz_words },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (unsigned i = 0; size && i < ARRAY_SIZE(readers); i++) {
		if (readers[i].letter != data[0])
			continue;
		input = (const char *)data + 1;
		input_end = (const char *)data + size;
		printed[0] = 0;
		memset(&marks, 0, sizeof(marks));
		memset(&marks_again, 0, sizeof(marks_again));
		readers[i].read();
	}
	return 0;
}

#ifdef REPLAY
int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
	uint8_t *data = malloc(1 << 20);
	size_t size = f ? fread(data, 1, 1 << 20, f) : 0;

	if (!size || ferror(f))
		return 1;
	data = realloc(data, size); /* so that ASan finds accesses behind the end */
	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}
#endif
