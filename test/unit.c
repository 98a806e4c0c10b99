// SPDX-License-Identifier: GPL-2.0
/* clang-format off */
/*
 * Unit tests of netto.c, which is included whole. They need no root and no eBPF. The list of them
 * is tests[], at the end: a test is a function test_NAME() and an entry there. Uses:
 *
 *	unit			runs all tests
 *	unit NAME		runs this one
 *	unit short|table|csv|folded	prints that report of made-up results, for test/golden
 *	unit record SECONDS	measures (as root), prints stacks that it sampled, for test/stacks
 *	unit show FILE		prints such a file with the names of the functions, to be read
 *
 * 1. Checks
 * 2. Command line
 * 3. Made-up kernels and stacks
 * 4. Made-up results
 * 5. Arithmetic and printers
 * 6. Samples
 * 7. Kernel symbols and tables
 * 8. The sorter, with made-up stacks
 * 9. Recorded stacks
 *
 * test/made-up.txt has made-up stacks, and says how to add one. A file of recorded stacks has lines
 * of two kinds, and comments. Addresses are in hexadecimal. The first half of most of them,
 * ffffffff, is left out.
 *
 *	s ADDRESS TYPE NAME [MODULE]
 *		A line of kallsyms. All names of each function in a stack are there, and where the
 *		next function begins.
 *	k EVENT ROOT STAGE ACTIVITY ADDRESS...
 *		A stack, leaf first, and what the sorter must say of it. EVENT is what the probes
 *		said when it was sampled. ROOT is the event that the stack itself tells: the same as
 *		EVENT; or `softirq`, where another softirq had interrupted the operation or a probe
 *		was not under way; or `-`, where the stack has no root.
 */
/* clang-format on */
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

static const char *stage_name(int stage)
{
	return stage == STAGE_NONE ? "-" : stages[stage].name;
}

static const char *activity_name(int activity)
{
	return activity == ACTIVITY_NONE ? "-" : activities[activity].name;
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

/* ==== 3. Made-up kernels and stacks ==== */

/* The text of a file, 0-terminated, or NULL. */
static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;
	ssize_t length;

	if (!f)
		return NULL;
	length = getdelim(&text, &room, 0, f);
	fclose(f);
	return length > 0 ? text : NULL;
}

static const char *next_line(const char *line)
{
	line = strchr(line, '\n');
	return line ? line + 1 : NULL;
}

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

/* The stacks of test/made-up.txt, and the words that stand for parts of them. */
enum { MADE_UP = 1000, FUNCTION_SIZE = 0x100, PADDING = 0x10 };

static struct made_up {
	const char *frames, *told; /* leaf first; what the sorter must say of it, or empty */
	const char *word;	   /* that stands for these; NULL: this is a stack */
	bool old;		   /* of a kernel before 5.12 */
} made_up[MADE_UP];
static int made_up_count;

static void read_made_up(void)
{
	char *text = read_text("test/made-up.txt"), *next, *at;
	bool old = false, begins_old;

	if (!text) {
		puts("FAIL: unit: test/made-up.txt: there is none, or it is empty");
		exit(1);
	}
	for (char *line = text; *line; line = next) {
		struct made_up *m = &made_up[made_up_count];

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = 0;
		begins_old = !strcmp(line, "before 5.12:");
		old |= begins_old;
		if (begins_old || !*line || *line == '#')
			continue;
		*m = (struct made_up) { .frames = line, .told = "", .old = old };
		if ((at = strstr(line, " => "))) {
			*at = 0;
			m->told = at + 4;
		}
		if ((at = strstr(line, " = "))) {
			*at = 0;
			m->word = line;
			m->frames = at + 3;
		}
		made_up_count++;
	}
}

/* What a word stands for, or NULL. */
static const struct made_up *find_word(const char *word, size_t length)
{
	for (struct made_up *m = made_up; m < made_up + made_up_count && m->word; m++)
		if (strlen(m->word) == length && !memcmp(m->word, word, length))
			return m;
	return NULL;
}

/* The kernel of these stacks. A function gets an address when it is first named. */
static struct {
	char names[MADE_UP][128]; /* NAME, NAME[MODULE], either with =ALIAS... */
	uint64_t addresses[MADE_UP];
	int count, read;
	bool padded; /* functions have symbols for the padding before them */
} kernel;

/* The address of a frame, as test/made-up.txt describes it. */
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
		const struct made_up *m = find_word(frames, length = strcspn(frames, " "));

		if (m)
			depth += stack_addresses(m->frames, addresses + depth);
		else
			addresses[depth++] = frame_address(frames, length);
	}
	return depth;
}

/* The module of a function as kallsyms has it, in brackets; empty: none. */
static const char *module_of(int function)
{
	const char *bracket = strchr(kernel.names[function], '[');

	return bracket ? bracket : "";
}

static int compare_modules(const void *a, const void *b)
{
	return strcmp(module_of(*(int *)a), module_of(*(int *)b));
}

/* Lets netto.c read the functions that there are by now, module by module. */
static void read_kernel(void)
{
	int order[MADE_UP];
	char *lines = NULL;
	size_t length;
	FILE *f = open_memstream(&lines, &length);

	for (int i = 0; i < kernel.count; i++)
		order[i] = i;
	qsort(order, kernel.count, sizeof(*order), compare_modules);
	fputs("0000000000000000 A fixed_percpu_data\n", f);
	for (int i = 0; i < kernel.count; i++) {
		const char *module = module_of(order[i]), *tab = *module ? "\t" : "";
		uint64_t address = kernel.addresses[order[i]];
		char names[128];

		strcpy(names, kernel.names[order[i]]);
		names[strcspn(names, "[")] = 0;
		if (kernel.padded)
			fprintf(f, "%016" PRIx64 " t __%s_%.*s%s%s\n", address - PADDING,
				*module ? "cfi" : "pfx", (int)strcspn(names, "="), names, tab,
				module);
		for (char *name = strtok(names, "="); name; name = strtok(NULL, "="))
			fprintf(f, "%016" PRIx64 " t %s%s%s\n", address, name, tab, module);
		/* data is no function, and ends none */
		fprintf(f, "%016" PRIx64 " d data%s%s\n", address + 8, tab, module);
	}
	fputs("ffffffffc0000000 t last\t[last]\n", f);
	fclose(f);
	SAME(read_lines(lines, length), 0);
	free(lines);
	kernel.read = kernel.count;
}

static void begin_kernel(bool padded)
{
	if (!made_up_count)
		read_made_up();
	kernel.count = kernel.read = 0;
	kernel.padded = padded;
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

/* Samples of three CPUs in the words of netto.bpf.c, sorted as if they had been read there. */
static void make_up_profile(struct profile *p)
{
	static const struct {
		int event, cpu;
		uint32_t count;
		const char *frames;
	} samples[] = {
		{ EV_RX_SOFTIRQ, 0, 300,
		  "dev_hard_start_xmit FORWARD __irq_exit_rcu irq_exit_rcu common_interrupt "
		  "udp_sendmsg __local_bh_enable_ip" },
		{ EV_RX_SOFTIRQ, 3, 200,
		  "dev_hard_start_xmit FORWARD run_ksoftirqd smpboot_thread_fn" },
		{ EV_RX_SOFTIRQ, 3, 150,
		  "nft_do_chain[nf_tables] nft_do_chain_ipv4[nf_tables] nf_hook_slow ip_forward "
		  "ONE do_softirq __local_bh_enable_ip" },
		{ EV_RX_SOFTIRQ, 0, 70,
		  "__nf_conntrack_find_get[nf_conntrack] nf_conntrack_in[nf_conntrack] "
		  "nf_hook_slow NF_HOOK.constprop.0 ip_rcv ONE" },
		{ EV_RX_SOFTIRQ, 0, 30,
		  "poll_it[vendor] __napi_poll net_rx_action handle_softirqs" },
		{ EV_RECV, 0, 90,
		  "copy_user_generic_unrolled _copy_to_iter tcp_recvmsg_locked tcp_recvmsg "
		  "inet_recvmsg sock_recvmsg" },
		{ EV_SEND, 0, 100, "udp_sendmsg INET" },
		{ EV_SEND, 0, 7, "somebodys_sendmsg[somebody] INET" },
		{ EV_SEND, 0, 1,
		  "kmem_cache_alloc __alloc_skb alloc_skb_with_frags __ip_append_data udp_sendmsg "
		  "INET" },
		{ EV_SOFTIRQ, 0, 15,
		  "__netif_receive_skb_core netif_receive_skb ifb_ri_tasklet[ifb] "
		  "tasklet_action_common tasklet_action handle_softirqs __irq_exit_rcu" },
		{ EV_SOFTIRQ, 0, 5, "call_timer_fn run_timer_softirq handle_softirqs" },
		{ EV_OTHER, 0, 10,
		  "ovs_execute_actions[openvswitch] ovs_packet_cmd_execute[openvswitch] "
		  "genl_rcv_msg netlink_sendmsg __sys_sendto" },
		{ EV_OTHER, 0, 20, "fib_dump_info inet_dump_fib netlink_dump netlink_recvmsg" },
		{ EV_OTHER, 0, 20, "sk_destruct unix_release_sock unix_release" },
		{ EV_OTHER, 0, 800, "vfs_read ksys_read" },
	};
	static uint64_t words[ARRAY_SIZE(samples)][1 + MAX_DEPTH];

	begin_kernel(false);
	p->hz = 997;
	p->clock = "cpu-clock";
	p->max_depth = MAX_DEPTH;
	p->lost = 2;
	p->not_taken = 4;
	p->raws = calloc(1 + ARRAY_SIZE(samples), sizeof(*p->raws));
	p->raw_count = 1;
	for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
		int depth = make_up_stack(samples[i].frames, words[i] + 1);

		words[i][0] = (p->from_samples[EV_OTHER] ? EV_OTHER : samples[i].event) | depth << 8;
		p->raws[p->raw_count++] = (struct raw) { .words = words[i],
							 .count = samples[i].count,
							 .cpu = samples[i].cpu };
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

/* What a process did until a mark, in one event. The processes of a mark are in order. */
static void add_process(struct marks *m, uint32_t pid, const char *name, int event, uint64_t ns,
			uint64_t count)
{
	struct process *p;

	m->processes = m->processes ? m->processes : calloc(8, sizeof(*p));
	if (!m->process_count || m->processes[m->process_count - 1].pid != pid)
		m->process_count++;
	p = &m->processes[m->process_count - 1];
	p->pid = pid;
	strcpy((char *)p->did.name, name);
	p->did.ns[event] = ns;
	p->did.count[event] = count;
}

static void make_up_processes(struct marks *a, struct marks *b)
{
	const char *odd = "a,\"b\"\n\033[2J\xe9 /:";

	add_process(a, 17, "sshd", EV_SEND, 10, 1);
	add_process(a, 42, "nginx", EV_SEND, 5, 1);
	add_process(b, 17, "sshd", EV_SEND, 10, 1);
	add_process(b, 42, "nginx", EV_SEND, 300000005, 20001);
	add_process(b, 42, "nginx", EV_CONN, 2000, 2);
	add_process(b, 4242, odd, EV_RECV, 300000000, 20011);
	add_process(b, 4242, odd, EV_SEND, 250000000, 10010);
	add_process(b, 4242, odd, EV_BUSY_POLL, 7, 1);
	add_process(b, 4243, "third", EV_RECV, 3, 1);
	b->tasks_lost = 12;
	b->tasks_lost_ns = 345678;
}

/* Two marks and a result of which nothing is known but the host. */
static void begin_result(struct marks *a, struct marks *b, struct result *r)
{
	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	memset(r, 0, sizeof(*r));
	b->time = 1700000000.5;
	strcpy(r->host.nodename, "edge-1");
}

static void set_event(struct result *r, int event, int source, const char *hook)
{
	r->events[event].name = event_name(event);
	r->events[event].net = skel->rodata->events[event].net;
	r->events[event].source = source;
	strcpy(r->events[event].hook, source ? hook : "none:");
}

/* Two marks of three CPUs: 0 busy, 1 plugged in meanwhile, 3 with a residual; 2 is a hole. */
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
	static struct marks a, b;
	static struct result r;

	begin_result(&a, &b, &r);
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		int cpu = times[i].cpu, e = times[i].event;

		a.cpu[cpu].ns[e] = times[i].before_ns;
		a.cpu[cpu].wall_ns += times[i].before_ns;
		b.cpu[cpu].wall_ns = a.cpu[cpu].wall_ns + wall_ns[cpu];
		b.cpu[cpu].ns[e] = times[i].ns;
		b.cpu[cpu].count[e] = times[i].count;
	}
	b.cpu[0].lost = 3;
	b.cpu[0].unreturned = operations ? 2 : 0;
	b.cpu[0].unreturned_ns = operations ? 7000000 : 0;
	b.cpu[1].unseen_ns = 2500000000;
	b.user_ns = 1000000;
	b.kernel_ns = 2345678;
	b.recursion_misses = 5;
	b.has_recursion_misses = operations;
	if (operations) {
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
		b.cpu[0].parts_ns[PART_IDLE] = 420000000;
		b.cpu[3].parts_ns[PART_KSOFTIRQD] = 7000000000;
		b.cpu[0].longest_ns[EV_RX_SOFTIRQ] = 1234567;
		b.cpu[0].longest_ns[EV_SOFTIRQ] = 54321;
		b.cpu[3].longest_ns[EV_RX_SOFTIRQ] = 7654321;
		make_up_polled(&a, 1);
		make_up_polled(&b, 2);
		make_up_processes(&a, &b);
	} else {
		strcpy(r.host.nodename, "a \"b\",c");
	}
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		bool traced = e <= (operations ? EV_CONN : EV_TX_SOFTIRQ) || e >= EV_SOFTIRQ;

		set_event(&r, e, traced ? TRACED : UNMEASURED, "fentry:inet_one+inet_two");
	}
	if (operations)
		set_event(&r, EV_NET_OTHER, SAMPLED, "perf_event:cpu-clock");
	r.profile.from_samples[EV_NET_OTHER] = operations;
	strcpy(r.host.sysname, "Linux");
	strcpy(r.host.release, "6.12.107");
	strcpy(r.host.machine, "x86_64");
	subtract_marks(&b, &a, &r);
	if (operations) {
		make_up_profile(&r.profile);
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
	static struct marks a, b;
	static struct result r;

	begin_result(&a, &b, &r);
	for (int cpu = 0; cpu < 4; cpu += 3) {
		a.cpu[cpu].proc_idle_ns = 1000;
		b.cpu[cpu].proc_idle_ns = 1000 + proc_idle_ns[cpu];
		b.cpu[cpu].wall_ns = b.cpu[cpu].ns[EV_OTHER] = 10000000000;
		a.online[cpu] = b.online[cpu] = true;
	}
	a.counted[PROCESSED] = b.counted[PROCESSED] = true;
	b.cpu[0].counts[PROCESSED] = 1000000;
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		set_event(&r, e,
			  e == EV_IDLE	    ? COUNTED
			  : e == EV_HARDIRQ ? UNMEASURED
					    : SAMPLED,
			  "perf_event:cpu-clock");
		r.profile.from_samples[e] = r.events[e].source == SAMPLED;
	}
	subtract_marks(&b, &a, &r);
	make_up_profile(&r.profile);
	share_out(&r);
	return &r;
}

/* A host of which only /proc tells, by ticks, and not what was dropped: CPU 0 is busy. */
static const struct result *made_up_accounted(void)
{
	static struct marks a, b;
	static struct result r;

	begin_result(&a, &b, &r);
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
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		set_event(&r, e, e >= EV_OTHER ? COUNTED : UNMEASURED, "procfs:stat");
	r.accounted = true;
	subtract_marks(&b, &a, &r);
	share_out(&r);
	return &r;
}

/*
 * A router of so many CPUs and devices: the last CPU full, by a queue and a thread that may run
 * nowhere else; the first ones less and less busy, the others idle. In trouble: all that is noted.
 */
static const struct result *made_up_router(int cpus, int devices, bool trouble)
{
	static struct marks a, b;
	static struct result r;

	begin_result(&a, &b, &r);
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
		t->lost = trouble ? 100 : 0;
		t->parts_ns[PART_KSOFTIRQD] = trouble ? 0.8 * t->ns[EV_RX_SOFTIRQ] : 0;
		t->unseen_ns = trouble ? 400000000 : 0;
		b.cpu[cpu].counts[PROCESSED] = t->ns[EV_RX_SOFTIRQ] / 4000;
		a.online[cpu] = b.online[cpu] = true;
	}
	for (int i = PROCESSED; i < COUNTS; i++)
		a.counted[i] = b.counted[i] = true;
	b.cpu[0].counts[DROPPED] = trouble ? 1234567 : 0;
	b.cpu[0].counts[SQUEEZED] = trouble ? 1204 : 0;
	b.stolen_ns = trouble ? 500000000ull * cpus : 0;
	b.cpu[0].unreturned = trouble;
	b.cpu[0].unreturned_ns = trouble ? 500000000ull * cpus : 0;
	for (int e = EV_NONE + 1; e < EV_MAX; e++)
		set_event(&r, e, e == EV_NET_OTHER ? SAMPLED : TRACED, "tp_btf:made_up");
	r.has_parts = r.has_devices = true;
	r.threads = NULL;
	subtract_marks(&b, &a, &r);
	make_up_profile(&r.profile);
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
	if (trouble) {
		r.threads = calloc(2, sizeof(*r.threads));
		r.threads[0] = (struct thread) { 77, cpus - 1, 5000000000, "napi/eth0-8193", "", true };
		r.threads[1] = (struct thread) { 78, cpus - 1, 2000000000, "napi/eth1-8194", "0-1", true };
		snprintf(r.threads->cpus, sizeof(r.threads->cpus), "%d", cpus - 1);
		r.thread_count = 2;
	}
	return &r;
}

/* The short report of it, in memory: its lines, or the most columns of one. */
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
	static const char *const noted[] = {
		"is full while", "may run on CPU", "busy network threads", "found no room", "used up its budget",
		"runs in ksoftirqd", "other virtual machines", "of the samples were lost",
		"were lost while", "end was missed", "not known what CPUs did",
	};
	static const int sizes[] = { 1, 2, 8, 64, MAX_CPUS };

	for (int i = STAGE_NONE + 1; i < STAGES; i++)
		CHECK(stages[i].what && strlen(stages[i].what) <= 28, "%s", stages[i].name);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		for (int trouble = 0; trouble < 2; trouble++) {
			char *text = short_text(made_up_router(sizes[i], 500, trouble));
			unsigned widest, lines = count_lines(text, &widest);

			CHECK(lines <= 45 && widest <= 79, "%d CPUs: %u lines of %u columns",
			      sizes[i], lines, widest);
			unwrap(text);
			for (unsigned j = 0; j < ARRAY_SIZE(noted); j++)
				CHECK(!!strstr(text, noted[j]) == (trouble && (j > 2 || sizes[i] > 1)),
				      "%d CPUs, %s: %s", sizes[i], noted[j], text);
		}
	for (int wide = 0; wide < 2; wide++) {
		static struct result r;

		r = *made_up_sampled();
		if (wide)
			r.all.below[EV_NONE] = r.all.above[EV_NONE] = 1e20;
		CHECK(!!strstr(unwrap(short_text(&r)), "more than half of itself") == wide, "%d", wide);
	}
	CHECK(strstr(unwrap(short_text(made_up_accounted())), "an upper bound"), "accounted");
	CHECK(!strstr(unwrap(short_text(made_up_sampled())), "an upper bound"), "sampled");
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

static void test_arithmetic(void)
{
	const struct result *r = made_up_result(true);

	SAME(r->cpus, 3);
	SAME(r->elapsed_ns, 10000000000);
	SAME(r->residual_ns, 49);
	SAME(r->all.wall_ns, 24000000000);
	SAME(r->all.unseen_ns, 2500000000);
	SAME(r->all.lost, 3);
	SAME(r->cpu[0].longest_ns[EV_RX_SOFTIRQ], 1234567);
	SAME(r->all.longest_ns[EV_RX_SOFTIRQ], 7654321);
	SAME(r->all.longest_ns[EV_RECV], 0);
	SAME(sum_net(r, r->all.count), 4294967311 + 120036);
	CHECK(percent(2280000000, r->cpu[0].wall_ns) == 22.8, "%f",
	      percent(2280000000, r->cpu[0].wall_ns));
	CHECK(percent(1, 0) == 0, "%f", percent(1, 0));
	/* what is not measured is no part of net, whatever the kernel side holds */
	r = made_up_result(false);
	SAME(sum_net(r, r->cpu[0].ns), 1430000000);
}

/* What is traced keeps its time; net_other is found in what is left, and in other softirqs. */
static void test_net_other(void)
{
	const struct result *r = made_up_result(true);
	const struct times *t = &r->cpu[0];
	const int64_t in_softirq = 15000000, in_other = 850000000 / 85;
	uint64_t sampled_ns;
	struct estimate e = estimate_receiving(r, 0, &sampled_ns), of_net = event_time(r, t, EV_NET_OTHER);

	SAME(t->ns[EV_RX_SOFTIRQ], 1420000000);
	SAME(t->ns[EV_NET_OTHER], in_softirq + in_other);
	SAME(t->ns[EV_SOFTIRQ], 20000000 - in_softirq);
	SAME(t->ns[EV_OTHER], 850000000 - in_other);
	SAME(sum_net(r, t->ns), 2280000000 + in_softirq + in_other);
	CHECK(of_net.low_ns < of_net.ns && of_net.ns < of_net.high_ns, "%" PRIu64 " to %" PRIu64,
	      of_net.low_ns, of_net.high_ns);
	/* ifb receives; a packet that user space sends on by OVS was received before */
	SAME(sampled_ns, (in_softirq + in_other) * 15 / 25);
	SAME(e.ns, 1420000000 + sampled_ns);
	SAME(r->cpu[3].ns[EV_NET_OTHER], 0);
	SAME(r->all.ns[EV_NET_OTHER], t->ns[EV_NET_OTHER]);
}

/* Where nothing is traced all is told from samples, and still sums up to wall time. */
static void test_share_out(void)
{
	const struct result *r = made_up_sampled();
	uint64_t sum = 0;

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		struct estimate range = event_time(r, &r->all, e);

		sum += range.ns;
		CHECK(range.low_ns <= range.ns && range.ns <= range.high_ns, "%s", r->events[e].name);
	}
	SAME(r->all.wall_ns, 20000000000);
	SAME(sum, 20000000000);
	SAME(r->cpu[0].ns[EV_IDLE], 3300000000);
	SAME(r->cpu[3].ns[EV_IDLE], 10000000000);
	/* of CPU 0's samples below known roots, those of receives */
	SAME(r->cpu[0].ns[EV_RECV],
	     (int64_t)(6700000000.0 * 90 / pool_samples(r, &r->profile.cpu[0], 0) + 0.5));
	SAME(r->cpu[0].ns[EV_SOFTIRQ],
	     (int64_t)(6700000000.0 * 5 / pool_samples(r, &r->profile.cpu[0], 0) + 0.5));
}

/* Where no tracepoint tells of devices: the functions that NAPI calls; CPU 3 is idle by /proc. */
static void test_pollers(void)
{
	static struct result r;
	char seen[256] = "";

	r = *made_up_sampled();
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

static const char *busiest_text(const struct result *r)
{
	struct busiest b = find_busiest(r);

	return b.cpu < 0
		       ? "none"
		       : sformat("CPU %d of %d: %.9g %%, %.9g of the mean, %.9g/s, full at %.9g/s",
				 b.cpu, b.cpus, b.net, b.ratio, b.rate, b.full);
}

/* CPUs of a busy router, by hand: 0 is full to 80 %, 1 has 20 %, 2 is idle. */
static void test_busiest(void)
{
	static struct result r;

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		r.events[e].net = e < EV_IO_WORKER;
		r.events[e].source = TRACED;
	}
	check_text("without CPUs", busiest_text(&r), "none");
	for (int cpu = 0; cpu < 3; cpu++)
		r.cpu[cpu].wall_ns = r.cpu[cpu].ns[EV_IDLE] = 2000000000;
	check_text("idle CPUs", busiest_text(&r), "none");
	r.cpu[0].ns[EV_RX_SOFTIRQ] = 1000000000;
	r.cpu[0].ns[EV_SEND] = 600000000;
	r.cpu[0].ns[EV_OTHER] = 300000000;
	r.cpu[0].ns[EV_IDLE] = 100000000;
	r.cpu[1].ns[EV_RX_SOFTIRQ] = 400000000;
	r.cpu[1].ns[EV_IDLE] = 1600000000;
	r.cpu[0].counts[PROCESSED] = 1600000; /* 1 us each, of which 0.625 in receiving */
	check_text("a router", busiest_text(&r),
		   "CPU 0 of 2: 80 %, 1.6 of the mean, 800000/s, full at 850000/s");
	SAME(per_packet((struct estimate) { .ns = r.cpu[0].ns[EV_RX_SOFTIRQ] }, 1600000).ns, 6250);
}

/* A CPU that is plugged in meanwhile: packets are not known, softirqs are. */
static void test_plugged(void)
{
	static struct marks a, b;
	static struct result r;

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

/* Whatever steps back is nothing, and no huge number. */
static void test_stepping_back(void)
{
	static struct marks a, b;
	static struct result r;
	struct times *before = &a.cpu[0];

	b.cpu[0].wall_ns = b.cpu[0].ns[EV_IDLE] = 1000;
	before->lost = before->unreturned = before->unreturned_ns = before->unseen_ns = before->proc_idle_ns = 7;
	for (int i = 0; i < PARTS; i++)
		before->parts_ns[i] = 7;
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		before->ns[e] = before->count[e] = e == EV_IDLE ? 0 : 7;
		before->wall_ns += before->ns[e];
	}
	for (int i = PROCESSED; i < COUNTS; i++) {
		a.counted[i] = b.counted[i] = a.online[0] = b.online[0] = true;
		a.cpu[0].counts[i] = 7;
	}
	a.tasks_lost = a.tasks_lost_ns = a.stolen_ns = a.user_ns = a.kernel_ns = a.recursion_misses = 7;
	r.has_tasks = true;
	subtract_marks(&b, &a, &r);
	SAME(r.cpu[0].proc_idle_ns, UINT64_MAX);
	SAME(r.all.lost + r.all.unreturned + r.all.unreturned_ns + r.all.unseen_ns + r.residual_ns, 0);
	SAME(r.tasks_lost + r.tasks_lost_ns + r.stolen_ns + r.user_ns + r.kernel_ns + r.recursion_misses, 0);
	for (int i = 0; i < PARTS; i++)
		SAME(r.all.parts_ns[i], 0);
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		SAME(r.all.count[e], 0);
		SAME(r.all.ns[e], e == EV_IDLE ? 1000 - 7 * (EV_MAX - 2) : 0);
	}
	for (int i = PROCESSED; i < COUNTS; i++)
		SAME(r.all.counts[i], 0);
}

/* What an event was given before a mark that came between a clock and its store: it is taken from the one that has it now. */
static void test_settling(void)
{
	static struct marks a, b;
	static struct result r;

	a.cpu[0].wall_ns = 1000;
	a.cpu[0].ns[EV_OTHER] = 400;
	a.cpu[0].ns[EV_SEND] = 600;
	b.cpu[0].wall_ns = 2000;
	b.cpu[0].ns[EV_OTHER] = 380;
	b.cpu[0].ns[EV_SEND] = 590;
	b.cpu[0].ns[EV_RECV] = 10;
	b.cpu[0].ns[EV_IDLE] = 1020;
	subtract_marks(&b, &a, &r);
	SAME(r.cpu[0].ns[EV_OTHER], 0);
	SAME(r.cpu[0].ns[EV_SEND], 0);
	SAME(r.cpu[0].ns[EV_RECV], 10);
	SAME(r.cpu[0].ns[EV_IDLE], 990);
	SAME(r.all.ns[EV_IDLE], 990);
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
			      stages[stage].name, stage_name(parents[stage]));
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
	static struct result r;

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

static uint64_t parse_address(const char *text, char **end)
{
	uint64_t address = strtoull(text, end, 16);

	return address && *end - text <= 8 ? address | 0xffffffffull << 32 : address;
}

/* NAME, or NAME[MODULE]. */
static const char *symbol_text(const struct symbol *symbol)
{
	return sformat(symbol->module ? "%s[%s]" : "%s", name_of(&symbols, symbol),
		       symbols.names + symbol->module);
}

/* What is at an address, of which the first ffffffff is left out. */
static const char *name_at(const char *address)
{
	char *end;

	return symbol_text(search_symbol(&symbols, parse_address(address, &end)));
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
	for (size_t length = 1000; length < sizeof(lines) - 300; length = length * 3 + 7) {
		int at = sprintf(lines, "ffffffff81000000 t good\nffffffff81000100 t ");

		memset(lines + at, 'x', length);
		at += length + sprintf(lines + at + length,
				       "\nffffffff81000200 t after\nffffffff81000300 t end\n");
		SAME(read_lines(lines, at), 0);
		CASES(name_at, "81000000 => good", "81000200 => after", "81000300 => end");
	}
}

/* A million functions, in order and in reverse. */
static void test_many_symbols(void)
{
	enum { MANY = 1000000, LINE = 48 };
	char *lines = malloc(MANY * LINE);

	for (int reverse = 0; reverse < 2; reverse++) {
		uint64_t began_ns, took_ns;
		char *to = lines;

		for (uint64_t i = 0; i < MANY; i++)
			to += sprintf(to, "%016" PRIx64 " t function_%06" PRIu64 "%s\n",
				      0xffffffff81000000 + 16 * (reverse ? MANY - 1 - i : i), i,
				      i % 3 ? "" : "\t[mod]");
		began_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
		SAME(read_lines(lines, to - lines), 0);
		took_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns;
		CHECK(took_ns < 4 * NSEC_PER_SEC, "%.3f s", took_ns / 1e9);
		SAME(symbols.count, 2 + MANY);
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

static void test_tables(void)
{
	static struct symbols s;
	const char *names[STAGES], *symbols[STAGES], *modules[STAGES], *callers[STAGES];

	for (int i = 0; i < STAGES; i++) {
		CHECK(i == STAGE_NONE || (stages[i].name && stages[i].name[0]),
		      "stage %d has no name", i);
		names[i] = stages[i].name;
		symbols[i] = stages[i].symbols;
		modules[i] = stages[i].modules;
		callers[i] = stages[i].callers;
	}
	check_lists("names", names, names, STAGES);
	check_lists("symbols", symbols, names, STAGES);
	check_lists("modules", modules, names, STAGES);
	check_lists("callers", callers, names, STAGES);
	for (int i = 0; i < ACTIVITIES; i++) {
		names[i] = activities[i].name;
		symbols[i] = activities[i].symbols;
	}
	check_lists("activities", symbols, names, ACTIVITIES);
	for (unsigned i = 0; i < ARRAY_SIZE(roots); i++) {
		names[i] = event_name(roots[i].event);
		symbols[i] = roots[i].symbols;
	}
	check_lists("roots", symbols, names, ARRAY_SIZE(roots));

	s.rodata = skel->rodata;
	make_rules(&s);
	CHECK(s.rule_count <= ARRAY_SIZE(s.rules), "%u rules", s.rule_count);
}

/* ==== 8. The sorter, with made-up stacks, since these are hard to come by ==== */

/* What the sorter says of a stack: the event, the stages from the root to the leaf, /ACTIVITY. */
static const char *told(const struct classified *s)
{
	static char text[4096];

	snprintf(text, sizeof(text), "%s", event_name(s->event));
	for (int i = 0; i < s->path_length; i++)
		append(text, sizeof(text), " %s", stage_name(s->path[i]));
	if (s->activity)
		append(text, sizeof(text), " /%s", activity_name(s->activity));
	return text;
}

/* Puts what the first word of such a text stands for in its place, if it is a word. */
static const char *expand(const char *text)
{
	static char expanded[1024];
	size_t length = strcspn(text, " ");
	const struct made_up *word = find_word(text, length);

	if (!word)
		return strcpy(expanded, text);
	expand(word->told);
	return strcat(expanded, text + length);
}

/*
 * The stacks of test/made-up.txt, of one kernel. All functions are named before the first stack is
 * sorted: the order of the names of an address differs with the number of all functions.
 */
static void check_stacks(bool old)
{
	uint64_t addresses[MAX_DEPTH];
	struct classified s;

	begin_kernel(!old);
	for (int pass = 0; pass < 2; pass++) {
		for (struct made_up *m = made_up; m < made_up + made_up_count; m++) {
			int depth;

			if (m->word || m->old != old)
				continue;
			depth = stack_addresses(m->frames, addresses);
			if (!pass)
				continue;
			classify_stack(&symbols, addresses, depth, &s);
			check_text(m->frames, told(&s), expand(m->told));
			SAME(s.stage, s.path[s.path_length - 1]);
		}
		read_kernel();
	}
}

static void test_stacks(void)
{
	check_stacks(false);
	check_stacks(true);
}

/* What a stack tells in which a top half is in a softirq in a send, by what owned the CPU. */
static void test_top_half(void)
{
	static struct profile p = { .symbols = &symbols };
	uint64_t words[1 + MAX_DEPTH];
	struct raw raw = { .words = words };
	struct classified s;
	int depth;

	begin_kernel(false);
	depth = make_up_stack("vring_interrupt __handle_irq_event_percpu handle_irq_event "
			      "handle_edge_irq __common_interrupt common_interrupt "
			      "asm_common_interrupt udp_rcv net_rx_action __do_softirq "
			      "udp_sendmsg inet_sendmsg",
			      words + 1);
	words[0] = EV_RX_SOFTIRQ | depth << 8;
	classify_raw(&p, &raw, &s);
	SAME(told_event(&p, &raw, &s), EV_RX_SOFTIRQ);
	check_text("the stack of a softirq", told(&s), "rx_softirq napi udp_rx interrupt");
	words[0] = EV_HARDIRQ | depth << 8;
	classify_raw(&p, &raw, &s);
	SAME(told_event(&p, &raw, &s), EV_HARDIRQ);
	check_text("the stack that is its own alone", told(&s), "rx_softirq interrupt");
}

/* As many frames as there can be; every second one a root, or none. */
static void test_deepest_stack(void)
{
	static const char *const others[] = { "ip_output tcp_ack",
					      "ip_output ip_output",
					      "ip_output inet_sendmsg",
					      "ip_output __netif_receive_skb_core",
					      "ip_output bpf_trampoline_1[bpf]",
					      "ip_output @0",
					      "ip_output @ffffffffff000000" };
	uint64_t addresses[MAX_DEPTH + 1];
	struct classified s;

	begin_kernel(false);
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		for (int k = 0; k < MAX_DEPTH; k += 2)
			make_up_stack(others[i], addresses + k);
		classify_stack(&symbols, addresses, MAX_DEPTH, &s);
		CHECK(s.depth > 0 && s.depth <= MAX_DEPTH && s.path_length > 0 &&
			      s.path_length <= 2 * MAX_DEPTH,
		      "%s: %d frames, %d stages", others[i], s.depth, s.path_length);
	}
}

/* ==== 9. Recorded stacks ==== */

/* What the sorter says of a stack, then "leaf < ... < root". */
static const char *describe(const struct classified *s)
{
	static char text[MAX_DEPTH * 600];

	snprintf(text, sizeof(text), "%s", told(s));
	for (int i = 0; i < s->depth; i++)
		append(text, sizeof(text), "%s%s", i ? " < " : ": ", symbol_text(s->frames[i]));
	return text;
}

static const char *short_address(uint64_t address)
{
	bool is_short = address >> 32 == 0xffffffff;

	return sformat(is_short ? "%08" PRIx64 : "%" PRIx64,
		       is_short ? (uint32_t)address : address);
}

/* The symbols of a recorded file. */
static int read_recorded_symbols(const char *text)
{
	char *lines = malloc(2 * strlen(text)), *to = lines, *rest;
	int err;

	for (const char *line = text; line; line = next_line(line)) {
		if (strncmp(line, "s ", 2))
			continue;
		to += sprintf(to, "%016" PRIx64, parse_address(line + 2, &rest));
		to += sprintf(to, "%.*s\n", (int)strcspn(rest, "\n"), rest);
	}
	err = read_lines(lines, to - lines);
	free(lines);
	return err;
}

/* Sorts a stack of a file again, and compares. */
static void replay_stack(const char *path, const char *line, bool show)
{
	char event[32], root[32], stage[32], activity[32], said[128], now[128], *end = NULL;
	uint64_t addresses[MAX_DEPTH];
	struct classified s;
	int at = 0, depth = 0;

	if (sscanf(line, "k %31s %31s %31s %31s%n", event, root, stage, activity, &at) == 4)
		for (line += at; *line == ' ' && depth < MAX_DEPTH; line = end)
			addresses[depth++] = parse_address(line + 1, &end);
	CHECK(depth && (*line == '\n' || !*line), "%s: %.*s", path, (int)strcspn(line, "\n"), line);
	if (!depth)
		return;
	classify_stack(&symbols, addresses, depth, &s);
	snprintf(said, sizeof(said), "%s %s %s", root, stage, activity);
	snprintf(now, sizeof(now), "%s %s %s", event_name(s.event), stage_name(s.stage),
		 activity_name(s.activity));
	if (show)
		printf("%s %s\n    %s\n", event, said, describe(&s));
	CHECK(!strcmp(said, now), "%s: %s, not %s: %s", path, now, said, describe(&s));
	CHECK(!strcmp(root, event) || !strcmp(root, "softirq") || !strcmp(root, "-") ||
		      !strcmp(root, "tcp_work"), /* which was not traced */
	      "%s: %s was traced: %s", path, event, describe(&s));
}

/* Sorts all stacks of a file again. Returns how many there are. */
static int replay(const char *path, bool show)
{
	char *text = read_text(path);
	int err = text ? read_recorded_symbols(text) : -ENOENT, stacks = 0;

	CHECK(!err, "%s: %s", path, strerror(-err));
	for (const char *line = err ? NULL : text; line; line = next_line(line)) {
		if (line[0] != 'k')
			continue;
		replay_stack(path, line, show);
		stacks++;
	}
	free(text);
	return stacks;
}

static void test_recorded(void)
{
	glob_t files;

	CHECK(!glob("test/stacks/*.txt", 0, NULL, &files) && files.gl_pathc >= 5,
	      "test/stacks: too few kernels: run test/run --stacks");
	for (size_t i = 0; i < files.gl_pathc; i++) {
		int stacks = replay(files.gl_pathv[i], false);

		CHECK(stacks >= 50, "%s: %d stacks", files.gl_pathv[i], stacks);
	}
	globfree(&files);
}

/* A stack of each event, root, stage and activity: the most sampled one of when it was first seen.
 */
static struct chosen {
	uint64_t key;
	struct raw raw;
} chosen[1024];
static size_t chosen_count;

static void choose_stacks(const struct profile *p)
{
	for (size_t i = 0; i < p->stack_count && chosen_count < ARRAY_SIZE(chosen); i++) {
		const struct raw *raw = &p->raws[p->stacks[i].first];
		size_t size = (1 + raw_depth(raw)) * sizeof(uint64_t);
		struct chosen *c = chosen;
		struct classified s;
		uint64_t key;

		classify_raw(p, raw, &s);
		key = add_to_hash(add_to_hash(raw->event, s.event), s.stage << 8 | s.activity);
		while (c < chosen + chosen_count && c->key != key)
			c++;
		if (c < chosen + chosen_count)
			continue;
		*c = (struct chosen) { .key = key, .raw = *raw };
		c->raw.words = memcpy(malloc(size), raw->words, size);
		chosen_count++;
	}
}

/* As many frames as it takes to be sorted as the whole is, and some that must then be left out. */
static int needed_depth(const struct raw *raw, const struct classified *whole)
{
	enum { BEYOND = 3 };
	struct classified part;
	int n = 1;

	for (; n + BEYOND < raw_depth(raw); n++) {
		classify_stack(&symbols, raw->words + 1, n, &part);
		if (part.event == whole->event && part.depth == whole->depth &&
		    part.stage == whole->stage && part.activity == whole->activity &&
		    part.path_length == whole->path_length)
			return n + BEYOND;
	}
	return raw_depth(raw);
}

/* The line of a stack. Notes its functions, and where the next ones begin, by index. */
static char *recorded_line(const struct profile *p, const struct raw *raw, bool *needed)
{
	static char line[MAX_DEPTH * 20 + 200];
	struct classified s;
	int length, depth;

	classify_raw(p, raw, &s);
	depth = needed_depth(raw, &s);
	length = sprintf(line, "k %s %s %s %s", event_name(raw->event), event_name(s.event),
			 stage_name(s.stage), activity_name(s.activity));
	for (int i = 0; i < depth; i++) {
		size_t at = last_symbol(&symbols, raw->words[1 + i] - (i > 0));

		length += sprintf(line + length, " %s", short_address(raw->words[1 + i]));
		needed[at] = true;
		if (at + 1 < symbols.count)
			needed[last_symbol(&symbols, symbols.list[at + 1].address)] = true;
	}
	return strdup(line);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether netto.c knows the symbol by this name: it does not take those of code that is gone. */
static bool is_taken(size_t last, const char *name, const char *module)
{
	const struct symbol *s = &symbols.list[last];

	for (uint64_t at = s->address; s >= symbols.list && s->address == at; s--) {
		const char *taken = name_of(&symbols, s);
		size_t length = strlen(taken);

		if (!strncmp(name, taken, length) && (!name[length] || name[length] == '.') &&
		    !strcmp(symbols.names + s->module, module))
			return true;
	}
	return false;
}

/* Prints the lines of kallsyms that are needed. To netto.c a function begins with its padding. */
static void print_symbols(int kallsyms, const bool *needed)
{
	FILE *f = fdopen(kallsyms, "r");
	char *line = NULL, type, name[512], module[64];
	uint64_t address;
	size_t room = 0;

	rewind(f);
	while (getline(&line, &room, f) > 0) {
		bool padding;
		size_t at;

		module[0] = 0;
		if (sscanf(line, "%" SCNx64 " %c %511s [%63[^]]", &address, &type, name, module) <
			    3 ||
		    !strchr("tTwW", type))
			continue;
		padding = !strncmp(name, "__pfx_", 6) || !strncmp(name, "__cfi_", 6);
		at = last_symbol(&symbols, address);
		if (!needed[at] || !is_taken(at, name + (padding ? 6 : 0), module))
			continue;
		printf(module[0] ? "s %s %c %s\t[%s]\n" : "s %s %c %s\n", short_address(address),
		       type, name, module);
	}
	free(line);
	fclose(f);
}

static int print_recording(const struct profile *p, int kallsyms)
{
	bool *needed = calloc(symbols.count, sizeof(*needed));
	char *lines[ARRAY_SIZE(chosen)];
	struct utsname uts;

	uname(&uts);
	printf("# Stacks that were sampled on %s %s %s, by test/run --stacks; test/unit.c says how to read them.\n",
	       uts.sysname, uts.release, uts.machine);
	for (size_t i = 0; i < chosen_count; i++)
		lines[i] = recorded_line(p, &chosen[i].raw, needed);
	qsort(lines, chosen_count, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < chosen_count; i++)
		puts(lines[i]);
	print_symbols(kallsyms, needed);
	return fflush(stdout) || ferror(stdout);
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
	end_ns = now_ns(CLOCK_MONOTONIC) + seconds * NSEC_PER_SEC;
	status = make_mark(&s, &marks, 1);
	fputs("recording\n", stderr);
	for (uint32_t interval_id = 1; !status && !ended; interval_id++) {
		next_ns = now_ns(CLOCK_MONOTONIC) + opt.seconds * NSEC_PER_SEC;
		ended = wait_until(&s, fmin(next_ns, end_ns), interval_id) || next_ns >= end_ns;
		free_symbols(&symbols);
		status = make_mark(&s, &marks, ended ? 0 : interval_id + 1) ||
			 make_profile(&p, &s.sampler, interval_id);
		choose_stacks(&p);
		samples += p.samples;
		lost += p.lost;
		unknown += p.unknown;
	}
	fprintf(stderr, "%" PRIu64 " samples, %" PRIu64 " lost, %" PRIu64 " unknown; %zu stacks\n",
		samples, lost, unknown, chosen_count);
	status = status || print_recording(&p, s.sampler.kallsyms);
	stop_probes(&s);
	return status;
}

/* ==== Main ==== */

#define TEST(name) #name, test_##name

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = { { TEST(parse_number) },  { TEST(parse_cpus) },  { TEST(parse_options) },
	      { TEST(arithmetic) },    { TEST(net_other) },   { TEST(share_out) },   { TEST(pollers) },
	      { TEST(escape_name) },   { TEST(busiest) },     { TEST(plugged) },   { TEST(settling) },
	      { TEST(stepping_back) },
	      { TEST(energy) },	       { TEST(append) },      { TEST(format_cpus_of) }, { TEST(short_report) },
	      { TEST(find_parents) },  { TEST(estimate) },    { TEST(sample_period) },
	      { TEST(count_missed) },  { TEST(size_table) },  { TEST(rings) },
	      { TEST(symbols) },       { TEST(bad_symbols) }, { TEST(many_symbols) },
	      { TEST(tables) },	       { TEST(stacks) },      { TEST(top_half) },
	      { TEST(deepest_stack) }, { TEST(recorded) } };

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	test = word;
	skel = netto__open();
	symbols.rodata = skel->rodata;
	if (argc == 3 && !strcmp(word, "record"))
		return record(atof(argv[2]));
	if (argc == 3 && !strcmp(word, "show"))
		return !replay(argv[2], true);
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
