// SPDX-License-Identifier: GPL-2.0
/* clang-format off */
/*
 * Unit tests of netto.c, which is included whole: parsing, arithmetic, the sorter of stacks,
 * printers. No root, no eBPF. Other uses:
 *
 *	unit table|csv|folded	that report of a made-up result, for the golden files
 *	unit record SECONDS	measures (as root), and prints stacks that it sampled, for test/stacks
 *	unit show FILE		such a file with the names of the functions, to be read
 *
 * A file of recorded stacks has lines of two kinds, and comments. Addresses are in hexadecimal; the
 * first half of most of them, ffffffff, is left out.
 *
 *	s ADDRESS TYPE NAME [MODULE]
 *		A line of kallsyms: all names of each function in a stack, and where the next one begins.
 *	k EVENT ROOT STAGE ACTIVITY ADDRESS...
 *		A stack, leaf first, and what the sorter must say of it. EVENT: what the probes said when
 *		it was sampled. ROOT: the event that the stack itself tells: the same; or `other`, where
 *		another softirq had interrupted the operation or a probe was not yet or no longer under
 *		way; or `-`, where the stack has no root.
 */
/* clang-format on */
#define main netto_main
#include "../netto.c"
#undef main

#include <glob.h>

static int passed, failed;
static struct netto *skel; /* opened, not loaded: the names of the events */

#define CHECK(what, ...)                                                                           \
	do {                                                                                       \
		if (what) {                                                                        \
			passed++;                                                                  \
		} else {                                                                           \
			failed++;                                                                  \
			printf("FAIL: unit: %s: ", #what);                                         \
			printf(__VA_ARGS__);                                                       \
			putchar('\n');                                                             \
		}                                                                                  \
	} while (0)

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

static void test_parse_number(void)
{
	static const struct {
		const char *text;
		bool whole, good;
		double number;
	} cases[] = {
		{ "10", false, true, 10 },
		{ "0.5", false, true, 0.5 },
		{ ".5", false, true, 0.5 },
		{ "1000", true, true, 1000 },
		{ "0", true, true, 0 },
		{ "007", true, true, 7 },
		{ "", false, false, 0 },
		{ "-1", false, false, 0 },
		{ "+1", false, false, 0 },
		{ " 1", false, false, 0 },
		{ "1 ", false, false, 0 },
		{ "1s", false, false, 0 },
		{ "1.5", true, false, 0 },
		{ "1e3", false, false, 0 },
		{ "0x10", false, false, 0 },
		{ "inf", false, false, 0 },
		{ "nan", false, false, 0 },
		{ "1.2.3", false, false, 0 },
		{ ".", false, false, 0 },
		{ "1001", false, false, 0 },
		{ "99999999999999999999", true, false, 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		double number = -1;
		bool good = parse_number(cases[i].text, 0, 1000, cases[i].whole, &number);

		CHECK(good == cases[i].good, "'%s' gives %d", cases[i].text, good);
		if (cases[i].good)
			CHECK(number == cases[i].number, "'%s' gives %f", cases[i].text, number);
	}
}

static void test_parse_cpus(void)
{
	static const struct {
		const char *list;
		int last, count;
	} cases[] = {
		{ "0\n", 0, 1 },
		{ "0-3\n", 3, 4 },
		{ "1,3\n", 3, 2 },
		{ "0-1,4-5,7", 7, 5 },
		{ "0,2-127\n", 127, 127 },
		{ "\n", -1, 0 },
		{ "", -1, 0 },
		{ "0-2047", 2047, MAX_CPUS },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		bool cpus[MAX_CPUS + 1] = {};
		int last = parse_cpus(cases[i].list, cpus), count = 0;

		for (int cpu = 0; cpu <= MAX_CPUS; cpu++)
			count += cpus[cpu];
		CHECK(last == cases[i].last && count == cases[i].count && !cpus[MAX_CPUS],
		      "'%s' gives %d, %d CPUs", cases[i].list, last, count);
		CHECK(parse_cpus(cases[i].list, NULL) == last, "%s", cases[i].list);
	}
}

static int parse(const char *line)
{
	static typeof(opt) defaults;
	static bool known;
	static char copy[256];
	char *argv[16] = { "netto" };
	int argc = 1;

	if (!known)
		defaults = opt;
	known = true;
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	opt = defaults;
	optind = 0;
	return parse_options(argc, argv);
}

static bool is_same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static void test_parse_options(void)
{
	static const struct {
		const char *line;
		int status; /* -1: go on */
		double seconds;
		long count;
		bool csv, verbose, folded;
		unsigned freq, stacks;
	} cases[] = {
		{ "", -1, 10, 1, false, false, false, 997, 10 },
		{ "5", -1, 5, 1, false, false, false, 997, 10 },
		{ "0.25 4", -1, 0.25, 4, false, false, false, 997, 10 },
		{ "-c 1 0", -1, 1, 0, true, false, false, 997, 10 },
		{ "1 3 -cv", -1, 1, 3, true, true, false, 997, 10 },
		{ "--csv --verbose", -1, 10, 1, true, true, false, 997, 10 },
		{ "-f 2", -1, 2, 1, false, false, true, 997, 10 },
		{ "--folded", -1, 10, 1, false, false, true, 997, 10 },
		{ "-F 4000", -1, 10, 1, false, false, false, 4000, 10 },
		{ "-F0", -1, 10, 1, false, false, false, 0, 10 },
		{ "--freq=100000 -s 0", -1, 10, 1, false, false, false, 100000, 0 },
		{ "--freq 1 --stacks 1000000000", -1, 10, 1, false, false, false, 1, 1000000000 },
		{ "-cs3 1", -1, 1, 1, true, false, false, 997, 3 },
		{ .line = "--", .status = EXIT_USAGE },
		{ .line = "-c --", .status = EXIT_USAGE },
		{ .line = "5 -- a", .status = EXIT_USAGE },
		{ .line = "-o -- a", .status = EXIT_USAGE },
		{ .line = "-o", .status = EXIT_USAGE },
		{ .line = "-t x", .status = EXIT_USAGE },
		{ .line = "-x", .status = EXIT_USAGE },
		{ .line = "--nope", .status = EXIT_USAGE },
		{ .line = "0", .status = EXIT_USAGE },
		{ .line = "1 -5", .status = EXIT_USAGE },
		{ .line = "1 2 3", .status = EXIT_USAGE },
		{ .line = "1 1.5", .status = EXIT_USAGE },
		{ .line = "ten", .status = EXIT_USAGE },
		{ .line = "99999999", .status = EXIT_USAGE },
		{ .line = "--csv=yes", .status = EXIT_USAGE },
		{ .line = "-c -f", .status = EXIT_USAGE },
		{ .line = "--folded 1 --csv", .status = EXIT_USAGE },
		{ .line = "-F", .status = EXIT_USAGE },
		{ .line = "--freq", .status = EXIT_USAGE },
		{ .line = "--freq=", .status = EXIT_USAGE },
		{ .line = "-F 100001", .status = EXIT_USAGE },
		{ .line = "-F 1.5", .status = EXIT_USAGE },
		{ .line = "-F -1", .status = EXIT_USAGE },
		{ .line = "-F fast", .status = EXIT_USAGE },
		{ .line = "-F 99999 -F x", .status = EXIT_USAGE },
		{ .line = "-s", .status = EXIT_USAGE },
		{ .line = "-s all", .status = EXIT_USAGE },
		{ .line = "-s 1000000001", .status = EXIT_USAGE },
		{ .line = "-s 99999999999999999999", .status = EXIT_USAGE },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = parse(cases[i].line);

		CHECK(status == cases[i].status, "'%s' gives %d", cases[i].line, status);
		if (cases[i].status >= 0)
			continue;
		CHECK(opt.seconds == cases[i].seconds, "'%s' gives %f", cases[i].line, opt.seconds);
		CHECK(opt.count == cases[i].count, "'%s' gives %ld", cases[i].line, opt.count);
		CHECK(opt.csv == cases[i].csv, "'%s' gives %d", cases[i].line, opt.csv);
		CHECK(opt.verbose == cases[i].verbose, "'%s' gives %d", cases[i].line, opt.verbose);
		CHECK(opt.folded == cases[i].folded, "'%s' gives %d", cases[i].line, opt.folded);
		CHECK(opt.freq == cases[i].freq, "'%s' gives %u", cases[i].line, opt.freq);
		CHECK(opt.stacks == cases[i].stacks, "'%s' gives %u", cases[i].line, opt.stacks);
	}
}

static void test_parse_command(void)
{
	static const struct {
		const char *line;
		double seconds;
		unsigned tasks;
		const char *output, *command; /* its first word */
	} cases[] = {
		{ "-c", 10, 0, NULL, NULL },
		{ "-t 7", 10, 7, NULL, NULL },
		{ "--tasks=0 -o out 3", 3, 0, "out", NULL },
		{ "-co out -- a -b", MAX_SECONDS, 0, "out", "a" },
		{ "-- -1", MAX_SECONDS, 0, NULL, "-1" },
		{ "-- a -- b", MAX_SECONDS, 0, NULL, "a" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = parse(cases[i].line);
		const char *command = opt.command ? opt.command[0] : NULL;

		CHECK(status == -1, "'%s' gives %d", cases[i].line, status);
		CHECK(opt.seconds == cases[i].seconds, "'%s' gives %f", cases[i].line, opt.seconds);
		CHECK(opt.tasks == cases[i].tasks, "'%s' gives %u", cases[i].line, opt.tasks);
		CHECK(is_same(opt.output, cases[i].output), "'%s' gives %s", cases[i].line,
		      opt.output);
		CHECK(is_same(command, cases[i].command), "'%s' gives %s", cases[i].line, command);
	}
}

/* Reads lines of kallsyms through a file descriptor, and the tables. */
static int read_lines(struct symbols *s, struct rules *r, const char *lines, size_t length)
{
	int fd = memfd_create("kallsyms", 0), err;

	for (size_t done = 0; done < length;) {
		ssize_t wrote = write(fd, lines + done, length - done);

		if (wrote <= 0)
			return -EIO;
		done += wrote;
	}
	memset(r, 0, sizeof(*r));
	err = prepare_sorting(s, r, fd);
	close(fd);
	return err;
}

/* Made-up functions: a name that is used for the first time gets an address. */

enum { MADE_UP = 1000, FUNCTION_SIZE = 0x100, PADDING = 0x10 };

static const struct {
	const char *token;
	uint64_t address;
} elsewhere[] = {
	{ "@zero", 0 },
	{ "@low", 0xffffffff80000000 },	   /* below all functions */
	{ "@gap", 0xffffffffa0000000 },	   /* between the kernel and its modules */
	{ "@module", 0xffffffffc0020000 }, /* between two modules */
	{ "@high", 0xffffffffff000000 },   /* beyond the last one */
	{ "@top", 0xffffffffffffffff },
};

static struct {
	char tokens[MADE_UP][64]; /* NAME, NAME[MODULE], either with =ALIAS... */
	uint64_t addresses[MADE_UP];
	int count;
	bool padded; /* functions have symbols for the padding before them */
	struct symbols symbols;
	struct rules rules;
} made_up;

/*
 * The address of a token within a stack: in the midst of the function; with a `!` behind it, at its
 * end, as a call that does not return leaves it; with a `^`, where it begins, as an interrupt may;
 * with `__pfx_` before it, in its padding.
 */
static uint64_t made_up_address(const char *token, size_t length)
{
	bool end = token[length - 1] == '!', start = token[length - 1] == '^';
	bool padding = !strncmp(token, "__pfx_", 6);
	bool module = memchr(token, '[', length);
	int i = 0;

	length -= end || start;
	if (padding) {
		token += 6;
		length -= 6;
	}
	for (unsigned j = 0; j < ARRAY_SIZE(elsewhere); j++)
		if (length == strlen(elsewhere[j].token) &&
		    !memcmp(token, elsewhere[j].token, length))
			return elsewhere[j].address;
	while (i < made_up.count &&
	       (strncmp(made_up.tokens[i], token, length) || made_up.tokens[i][length]))
		i++;
	if (i == made_up.count) {
		snprintf(made_up.tokens[i], sizeof(made_up.tokens[i]), "%.*s", (int)length, token);
		/* the first one of the modules is alone below @module */
		made_up.addresses[i] =
			(module ? 0xffffffffc0100000 : 0xffffffff81000000) + i * FUNCTION_SIZE;
		made_up.count++;
	}
	if (padding)
		return made_up.addresses[i] - PADDING / 2;
	if (end)
		return made_up.addresses[i] + FUNCTION_SIZE - (made_up.padded ? PADDING : 0);
	return made_up.addresses[i] + (start ? 0 : FUNCTION_SIZE / 2);
}

/* The addresses of a made-up stack. Returns how many. */
static int made_up_stack(const char *frames, uint64_t addresses[MAX_DEPTH])
{
	int depth = 0;

	for (const char *p = frames; *p; p += strspn(p, " ")) {
		size_t length = strcspn(p, " ");

		addresses[depth++] = made_up_address(p, length);
		p += length;
	}
	return depth;
}

/* The module of a made-up function as kallsyms has it, in brackets; empty: none. */
static const char *made_up_module(int i)
{
	const char *bracket = strchr(made_up.tokens[i], '[');

	return bracket ? bracket : "";
}

/* Writes the lines of kallsyms for a made-up function. Returns their end. */
static char *print_made_up(char *to, int i)
{
	const char *token = made_up.tokens[i], *module = made_up_module(i);

	if (made_up.padded)
		to += sprintf(to, "%016" PRIx64 " t __%s_%.*s%s%s\n",
			      made_up.addresses[i] - PADDING, *module ? "cfi" : "pfx",
			      (int)strcspn(token, "=["), token, *module ? "\t" : "", module);
	for (const char *name = token; *name && *name != '['; name += strspn(name, "=")) {
		size_t length = strcspn(name, "=[");

		to += sprintf(to, "%016" PRIx64 " t %.*s%s%s\n", made_up.addresses[i], (int)length,
			      name, *module ? "\t" : "", module);
		name += length;
	}
	/* data is no function, and ends none */
	return to + sprintf(to, "%016" PRIx64 " d data%s%s\n", made_up.addresses[i] + 8,
			    *module ? "\t" : "", module);
}

/* Reads the made-up functions as kallsyms has them: the kernel's, then module by module. */
static int read_made_up(void)
{
	static char lines[MADE_UP * 256];
	bool printed[MADE_UP] = {};
	char *to = lines;

	to += sprintf(to, "0000000000000000 A fixed_percpu_data\n");
	for (int modules = 0; modules < 2; modules++) {
		for (int i = 0; i < made_up.count; i++) {
			if (printed[i] || !*made_up_module(i) != !modules)
				continue;
			for (int j = i; j < made_up.count; j++) {
				if (strcmp(made_up_module(i), made_up_module(j)))
					continue;
				to = print_made_up(to, j);
				printed[j] = true;
			}
		}
	}
	to += sprintf(to, "ffffffffc0000000 t last\t[last]\n");
	return read_lines(&made_up.symbols, &made_up.rules, lines, to - lines);
}

/* The rootward end of stacks */
#define RX	 "process_backlog __napi_poll net_rx_action handle_softirqs"
#define IRQ_EXIT " __irq_exit_rcu irq_exit_rcu common_interrupt udp_sendmsg __local_bh_enable_ip"

/* Samples of three CPUs in the words of netto.bpf.c, sorted as if they had been read from its
 * table. */
static void make_up_profile(struct profile *p)
{
	static const struct {
		int event, cpu;
		uint32_t count;
		const char *frames;
	} samples[] = {
		{ EV_RX_SOFTIRQ, 0, 300,
		  "dev_hard_start_xmit __dev_queue_xmit ip_finish_output2 ip_output __netif_receive_skb_one_core " RX
			  IRQ_EXIT },
		{ EV_RX_SOFTIRQ, 3, 200,
		  "dev_hard_start_xmit __dev_queue_xmit ip_finish_output2 ip_output __netif_receive_skb_one_core " RX
		  " run_ksoftirqd smpboot_thread_fn" },
		{ EV_RX_SOFTIRQ, 3, 150,
		  "nft_do_chain[nf_tables] nft_do_chain_ipv4[nf_tables] nf_hook_slow ip_forward __netif_receive_skb_one_core " RX
		  " do_softirq __local_bh_enable_ip" },
		{ EV_RX_SOFTIRQ, 0, 70,
		  "__nf_conntrack_find_get[nf_conntrack] nf_conntrack_in[nf_conntrack] nf_hook_slow NF_HOOK.constprop.0 ip_rcv __netif_receive_skb_one_core " RX },
		{ EV_RX_SOFTIRQ, 0, 30,
		  "poll_it[vendor] __napi_poll net_rx_action handle_softirqs" },
		{ EV_RECV, 0, 90,
		  "copy_user_generic_unrolled _copy_to_iter tcp_recvmsg_locked tcp_recvmsg inet_recvmsg sock_recvmsg" },
		{ EV_SEND, 0, 100, "udp_sendmsg inet_sendmsg sock_sendmsg" },
		{ EV_SEND, 0, 7, "somebodys_sendmsg[somebody] inet_sendmsg sock_sendmsg" },
		{ EV_SEND, 0, 1,
		  "kmem_cache_alloc __alloc_skb alloc_skb_with_frags __ip_append_data udp_sendmsg inet_sendmsg sock_sendmsg" },
	};
	static uint64_t words[ARRAY_SIZE(samples)][1 + MAX_DEPTH];

	made_up.count = 0;
	p->hz = 997;
	p->clock = "cpu-clock";
	p->lost = 2;
	p->missed = 4;
	p->raws = calloc(1 + ARRAY_SIZE(samples), sizeof(*p->raws));
	p->raw_count = 1;
	for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
		int depth = made_up_stack(samples[i].frames, words[i] + 1);

		words[i][0] = (p->told[EV_OTHER] ? EV_OTHER : samples[i].event) | depth << 8;
		p->raws[p->raw_count++] = (struct raw) { .words = words[i],
							 .count = samples[i].count,
							 .cpu = samples[i].cpu };
	}
	read_made_up();
	p->symbols = &made_up.symbols;
	p->rules = &made_up.rules;
	sort_raws(p);
}

/* What three queues, a backlog and what had no place did until a mark, each so many times as much.
 */
static void make_up_polled(struct marks *m, unsigned times)
{
	const struct {
		int cpu, place;
		const char *name;
		uint32_t id;
		bool other; /* of another network namespace */
		uint64_t ns, polls, packets;
	} made_up[] = {
		{ 0, 3, "eth0", 8195, false, 900000000, 40000, 250000 },
		{ 0, 0, "", 0, false, 300000000, 20000, 50000 },
		{ 3, 4, "eth0", 8196, false, 5000000000, 500000, 600000 },
		{ 3, 5, "eth0", 8197, true, 1000000000, 1000, 64000 },
		{ 3, 6, "e\033[31m,\"\\x", 8198, false, 100000, 10, 10 },
		{ 3, POLLED_ROOM - 1, "", 0, false, 50000, 5, 0 },
		{ 3, 7, "not polled", 8199, false, 0, 0, 0 },
	};
	uint32_t network = own_network();

	m->polled = calloc(4, sizeof(*m->polled)); /* kept until the end */
	for (unsigned i = 0; i < ARRAY_SIZE(made_up); i++) {
		typeof(m->polled->places[0]) *p =
			&m->polled[made_up[i].cpu].places[made_up[i].place];

		strcpy((char *)p->name, made_up[i].name);
		p->id = made_up[i].id;
		p->net = made_up[i].other ? 4026532291 : network;
		p->ns = times * made_up[i].ns;
		p->polls = times * made_up[i].polls;
		p->packets = times * made_up[i].packets;
	}
}

/* What three processes did until marks. */
static void make_up_processes(struct marks *a, struct marks *b)
{
	static struct process before[] = {
		{ .pid = 17,
		  .did = { .name = "sshd", .ns = { [EV_SEND] = 10 }, .count = { [EV_SEND] = 1 } } },
		{ .pid = 42,
		  .did = { .name = "nginx", .ns = { [EV_SEND] = 5 }, .count = { [EV_SEND] = 1 } } },
	};
	static struct process after[] = {
		{ .pid = 17,
		  .did = { .name = "sshd", .ns = { [EV_SEND] = 10 }, .count = { [EV_SEND] = 1 } } },
		{ .pid = 42,
		  .did = { .name = "nginx",
			   .ns = { [EV_SEND] = 300000005, [EV_CONN] = 2000 },
			   .count = { [EV_SEND] = 20001, [EV_CONN] = 2 } } },
		{ .pid = 4242,
		  .did = { .name = "a,\"b\"\n\033[2J\xe9 /:",
			   .ns = { [EV_RECV] = 300000000,
				   [EV_SEND] = 250000000,
				   [EV_BUSY_POLL] = 7 },
			   .count = { [EV_RECV] = 20011,
				      [EV_SEND] = 10010,
				      [EV_BUSY_POLL] = 1 } } },
		{ .pid = 4243,
		  .did = { .name = "third", .ns = { [EV_RECV] = 3 }, .count = { [EV_RECV] = 1 } } },
	};

	a->processes = before;
	a->process_count = ARRAY_SIZE(before);
	b->processes = after;
	b->process_count = ARRAY_SIZE(after);
	b->tasks_lost = 12;
	b->tasks_lost_ns = 345678;
}

/* Two marks of three CPUs: 0 busy, 1 plugged in meanwhile, 3 with a residual; 2 is a hole. */
static const struct result *made_up_result(bool operations)
{
	static struct marks a, b;
	static struct result r;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&r, 0, sizeof(r));
	a.cpu[0] =
		(struct times) { .wall_ns = 5000, .ns = { [EV_OTHER] = 4000, [EV_IDLE] = 1000 } };
	b.cpu[0] = (struct times) { .wall_ns = 10000005000,
				    .ns = { [EV_RX_SOFTIRQ] = 1420000000,
					    [EV_TX_SOFTIRQ] = 10000000,
					    [EV_RECV] = 300000000,
					    [EV_SEND] = 550000000,
					    [EV_OTHER] = 870004000,
					    [EV_IDLE] = 6850001000 },
				    .count = { [EV_RX_SOFTIRQ] = 70001,
					       [EV_TX_SOFTIRQ] = 11,
					       [EV_RECV] = 20011,
					       [EV_SEND] = 30011,
					       [EV_CONN] = 2,
					       [EV_IDLE] = 90001 },
				    .lost = 3 };
	b.cpu[1] = (struct times) { .wall_ns = 4000000000,
				    .ns = { [EV_IDLE] = 4000000000 },
				    .count = { [EV_IDLE] = 7 },
				    .unseen_ns = 2500000000 };
	a.cpu[3] = (struct times) { .wall_ns = 1000, .ns = { [EV_IDLE] = 1000 } };
	b.cpu[3] = (struct times) { .wall_ns = 10000001000,
				    .ns = { [EV_RX_SOFTIRQ] = 9999999950, [EV_IDLE] = 1001 },
				    .count = { [EV_RX_SOFTIRQ] = 4294967311 } };
	b.user_ns = 1000000;
	b.kernel_ns = 2345678;
	b.recursion_misses = 5;
	b.has_recursion_misses = operations;
	b.time = 1700000000.5;
	if (operations) {
		for (int i = PROCESSED; i < COUNTS; i++) {
			a.counted[i] = b.counted[i] = true;
			a.counts[0][i] = 4294967290; /* over 32 bits */
			b.counts[0][i] = a.counts[0][i] + (i == PROCESSED ? 300000 : 9);
			b.counts[3][i] = i == PROCESSED ? 700000 : 0;
		}
		for (int cpu = 0; cpu < 4; cpu++)
			a.online[cpu] = b.online[cpu] = true;
		a.cards = b.cards = 2;
		a.card_packets = 77;
		b.card_packets = 2000077;
		a.energy_uj = 5e6;
		b.energy_uj = 455000000.4;
		r.has_energy = r.has_devices = r.has_tasks = r.has_parts = true;
		b.cpu[0].idle_part_ns = 420000000;
		b.cpu[3].ksoftirqd_part_ns = 7000000000;
		make_up_polled(&a, 1);
		make_up_polled(&b, 2);
		make_up_processes(&a, &b);
	}
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		r.events[e].name = event_name(e);
		r.events[e].net = skel->rodata->events[e].net;
		if ((operations && e <= EV_CONN) || e <= EV_TX_SOFTIRQ || e >= EV_OTHER)
			r.events[e].source = TRACED;
		strcpy(r.events[e].hook, r.events[e].source ? "fentry:inet_one+inet_two" : "none:");
	}
	strcpy(r.host.nodename, operations ? "edge-1" : "a \"b\",c");
	strcpy(r.host.sysname, "Linux");
	strcpy(r.host.release, "6.12.107");
	strcpy(r.host.machine, "x86_64");
	subtract_marks(&b, &a, &r);
	if (operations)
		make_up_profile(&r.profile);
	return &r;
}

/* Sample mode on two CPUs: CPU 0 as above and a third of it idle, CPU 3 busy with something else.
 */
static const struct result *made_up_sampled(void)
{
	static const uint64_t quiet_ns[4] = { 3300000000, 0, 0, 20000000000 };
	static struct marks a, b;
	static struct result r;

	memset(&r, 0, sizeof(r));
	for (int cpu = 0; cpu < 4; cpu += 3) {
		a.cpu[cpu] = (struct times) { .quiet_ns = 1000 };
		b.cpu[cpu] = (struct times) { .wall_ns = 10000000000,
					      .ns = { [EV_OTHER] = 10000000000 },
					      .quiet_ns = 1000 + quiet_ns[cpu] };
	}
	b.time = 1700000000.5;
	a.counted[PROCESSED] = b.counted[PROCESSED] = true;
	b.counts[0][PROCESSED] = 1000000;
	a.online[0] = b.online[0] = a.online[3] = b.online[3] = true;
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		r.events[e].name = event_name(e);
		r.events[e].net = skel->rodata->events[e].net;
		r.events[e].source = e == EV_IDLE      ? COUNTED
				     : e == EV_HARDIRQ ? UNMEASURED
						       : SAMPLED;
		strcpy(r.events[e].hook, r.events[e].source ? "perf_event:cpu-clock" : "none:");
		r.profile.told[e] = r.events[e].source == SAMPLED;
	}
	strcpy(r.host.nodename, "edge-1");
	subtract_marks(&b, &a, &r);
	make_up_profile(&r.profile);
	share_out(&r);
	return &r;
}

/* A host on which nothing can be measured, and which does not tell what was dropped. */
static const struct result *made_up_blind(void)
{
	static struct marks a, b;
	static struct result r;

	memset(&r, 0, sizeof(r));
	for (int cpu = 0; cpu < 2; cpu++) {
		b.cpu[cpu] = (struct times) { .wall_ns = 10000000000,
					      .ns = { [EV_OTHER] = 10000000000 } };
		for (int i = 0; i < COUNTS; i++) {
			a.counted[i] = b.counted[i] = i != DROPPED;
			a.counts[cpu][i] = 4294967290 - cpu; /* and over 32 bits */
			b.counts[cpu][i] = a.counts[cpu][i] + 1000 * i + 7;
			if (i < PROCESSED)
				b.counts[cpu][i] = (uint32_t)b.counts[cpu][i];
		}
		a.online[cpu] = b.online[cpu] = true;
	}
	b.time = 1700000000.5;
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		r.events[e].name = event_name(e);
		strcpy(r.events[e].hook, "none:");
	}
	r.blind = true;
	strcpy(r.host.nodename, "edge-1");
	subtract_marks(&b, &a, &r);
	return &r;
}

static void test_escape_name(void)
{
	static const struct {
		const char *name;
		size_t size;
		const char *escaped;
	} cases[] = {
		{ "eth0", 80, "eth0" },
		{ "kworker/0:1-x", 80, "kworker/0:1-x" },
		{ "a b", 80, "a\\x20b" },
		{ ",\"\\\n\r", 80, "\\x2c\\x22\\x5c\\x0a\\x0d" },
		{ "\033[2J\x9b\x7f", 80, "\\x1b[2J\\x9b\\x7f" },
		{ "h\xc3\xa4", 80, "h\\xc3\\xa4" },
		{ "0123456789abcdefg", 80, "0123456789abcdef" }, /* no 0 at its end */
		{ "aaaaaa", 7, "aaa" }, /* room for any character and the 0 */
		{ "", 80, "" },
	};
	char text[80];

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		escape_name(cases[i].name, 16, text, cases[i].size);
		CHECK(!strcmp(text, cases[i].escaped), "%s, not %s", text, cases[i].escaped);
	}
}

/* CPUs of a busy router, by hand: 0 is full to 80 %, 1 has 20 %, 2 is idle. */
static void test_busiest(void)
{
	static struct result r;
	struct busiest b;

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		r.events[e].net = e < EV_IO_WORKER;
		r.events[e].source = TRACED;
	}
	b = find_busiest(&r);
	CHECK(b.cpu == -1, "of no CPU: %d", b.cpu);
	for (int cpu = 0; cpu < 3; cpu++)
		r.cpu[cpu] =
			(struct times) { .wall_ns = 2000000000, .ns = { [EV_IDLE] = 2000000000 } };
	b = find_busiest(&r);
	CHECK(b.cpu == -1, "of none that is busy: %d", b.cpu);
	r.cpu[0].ns[EV_RX_SOFTIRQ] = 1000000000;
	r.cpu[0].ns[EV_SEND] = 600000000;
	r.cpu[0].ns[EV_OTHER] = 300000000;
	r.cpu[0].ns[EV_IDLE] = 100000000;
	r.cpu[1].ns[EV_RX_SOFTIRQ] = 400000000;
	r.cpu[1].ns[EV_IDLE] = 1600000000;
	r.counts[0][PROCESSED] = 1600000; /* 1 us each, of which 0.625 in receiving */
	b = find_busiest(&r);
	CHECK(b.cpu == 0 && b.cpus == 2, "CPU %d of %d", b.cpu, b.cpus);
	CHECK(fabs(b.net - 80) < 1e-9 && fabs(b.ratio - 1.6) < 1e-9, "%f, %f", b.net, b.ratio);
	CHECK(fabs(b.rate - 800000) < 1e-3 && fabs(b.full - 850000) < 1e-3, "%f, %f", b.rate,
	      b.full);
	CHECK(per_packet(receive_ns(&r, r.cpu[0].ns), 1600000) == 6250, "%" PRIu64,
	      per_packet(receive_ns(&r, r.cpu[0].ns), 1600000));
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
			b.counts[cpu][i] = 7;
		}
	}
	a.online[0] = true;
	subtract_marks(&b, &a, &r);
	CHECK(r.counted[RX_SOFTIRQS] && r.counts[1][RX_SOFTIRQS] == 7 &&
		      r.all_counts[RX_SOFTIRQS] == 14,
	      "softirqs: %" PRIu64 ", %" PRIu64, r.counts[1][RX_SOFTIRQS],
	      r.all_counts[RX_SOFTIRQS]);
	CHECK(!r.counted[PROCESSED] && !r.counts[0][PROCESSED] && !r.all_counts[RPS],
	      "packets: %" PRIu64 ", %" PRIu64, r.counts[0][PROCESSED], r.all_counts[RPS]);
	a.online[1] = true;
	subtract_marks(&b, &a, &r);
	CHECK(r.counted[PROCESSED] && r.all_counts[PROCESSED] == 14, "packets: %" PRIu64,
	      r.all_counts[PROCESSED]);
}

/* Counters of two packages, of which one wraps and the other one cannot be read for a while. */
static void test_energy(void)
{
	static const struct {
		const char *text[2];
		double used_uj;
	} steps[] = {
		{ { "1000", "999990\n" }, 0 },
		{ { "1500", "5" }, 515 + 1 },
		{ { "", "15" }, 525 + 1 },
		{ { "1700\n", "15" }, 725 + 1 },
	};
	struct energy e = { .packages = 2 };

	for (int i = 0; i < 2; i++) {
		e.package[i].fd = memfd_create("energy", 0);
		e.package[i].range_uj = 1000001;
	}
	for (unsigned step = 0; step < ARRAY_SIZE(steps); step++) {
		for (int i = 0; i < 2; i++) {
			ftruncate(e.package[i].fd, 0);
			pwrite(e.package[i].fd, steps[step].text[i], strlen(steps[step].text[i]),
			       0);
			if (!step)
				read_package(e.package[i].fd, &e.package[i].last_uj);
		}
		read_energy(&e);
		CHECK(e.used_uj == steps[step].used_uj, "step %u: %f, not %f", step, e.used_uj,
		      steps[step].used_uj);
	}
}

/* Puts a record behind the others, over the end of the ring. */
static void put_record(struct perf_event_mmap_page *page, uint32_t type, uint64_t time_ns,
		       uint64_t count, const uint64_t *words)
{
	struct record record = { .header = { .type = type, .size = 24 + 8 * count },
				 .time_ns = time_ns,
				 .count = count };
	char *ring = (char *)page + sysconf(_SC_PAGESIZE);

	if (type == PERF_RECORD_LOST)
		record.header.size = 24;
	else
		memcpy(record.words, words, 8 * count);
	for (int i = 0; i < record.header.size; i++)
		ring[page->data_head++ % RING_BYTES] = ((char *)&record)[i];
}

/* Records of a ring that goes round a thousand times: each is counted once, for its interval. */
static void test_rings(void)
{
	struct sampler s = { .cpus = 1, .hz = 997, .halves = 2, .started_ns = 100 };
	static uint64_t memory[(RING_BYTES + 65536) / 8] __attribute__((aligned(65536)));
	const uint64_t here[] = { PERF_CONTEXT_KERNEL, 0xffffffff81000001, 0xffffffff81000002 };
	const uint64_t there[] = { PERF_CONTEXT_KERNEL, 0xffffffff81000001, 0xffffffff81000003 };
	static struct profile p;
	uint64_t counts[3] = {}, lost = 0;

	s.rings[0] = (void *)memory;
	size_table(&s, 10);
	s.tables = calloc(2, s.half_size);
	for (uint64_t i = 0; i < 3000000; i++) {
		/* of each three: of before the start; one of 40 out of user space; for the next */
		uint64_t time_ns = i % 3 == 0 ? 99 : i % 3 == 1 ? 100 : 200;

		put_record(s.rings[0], PERF_RECORD_SAMPLE, time_ns, i % 40 ? 3 : 0,
			   i % 2 ? here : there);
		if (i % 1000000 == 0)
			put_record(s.rings[0], PERF_RECORD_LOST, 77, 5, NULL);
		if (i % 1000 == 0)
			read_rings(&s, 6, 200);
	}
	read_rings(&s, 6, 200);
	CHECK(s.rings[0]->data_tail == s.rings[0]->data_head, "%d", 0);
	for (uint32_t window = 6; window < 8; window++) {
		read_tables(&p, &s, window);
		CHECK(p.raw_count == 4, "window %u: %zu stacks", window, p.raw_count - 1);
		memset(counts, 0, sizeof(counts));
		for (uint32_t i = 1; i < p.raw_count; i++) {
			int which = raw_depth(&p.raws[i]) == 0	    ? 0
				    : p.raws[i].words[2] == here[2] ? 1
								    : 2;

			CHECK(raw_owner(&p.raws[i]) == EV_OTHER &&
				      (!which || (raw_depth(&p.raws[i]) == 2 &&
						  p.raws[i].words[1] == here[1])),
			      "%d", raw_depth(&p.raws[i]));
			counts[which] += p.raws[i].count;
		}
		CHECK(counts[0] == 25000 && counts[1] == 500000 && counts[2] == 475000,
		      "window %u: %" PRIu64 " %" PRIu64 " %" PRIu64, window, counts[0], counts[1],
		      counts[2]);
		lost += p.lost;
		p.lost = 0;
	}
	CHECK(lost == 15, "%" PRIu64, lost);
	/* a table that is full */
	memset(s.tables, 0, 2 * s.half_size);
	for (uint64_t i = 0; i < 100000; i++)
		count_stack(&s, half_for(&s, 0, 6), &i, 1);
	read_tables(&p, &s, 6);
	CHECK(p.raw_count == s.slots + 1 && p.lost == 100000 - s.slots,
	      "%zu stacks, %" PRIu64 " lost", p.raw_count - 1, p.lost);
	free(p.raws);
	free(s.tables);
}

/* Where nothing is traced all is told from samples, and still sums to wall time. */
static void test_share_out(void)
{
	const struct result *r = made_up_sampled();
	uint64_t sum = 0;

	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		sum += r->all.ns[e];
		CHECK(r->events[e].source != SAMPLED || (r->all.low_ns[e] <= r->all.ns[e] &&
							 r->all.ns[e] <= r->all.high_ns[e]),
		      "%s", r->events[e].name);
	}
	CHECK(sum == r->all.wall_ns && sum == 20000000000, "%" PRIu64, sum);
	CHECK(r->cpu[0].ns[EV_IDLE] == 3300000000, "%" PRIu64, r->cpu[0].ns[EV_IDLE]);
	CHECK(r->cpu[3].ns[EV_IDLE] == 10000000000, "%" PRIu64, r->cpu[3].ns[EV_IDLE]);
	/* of CPU 0's samples below known roots, those of receives */
	CHECK(r->cpu[0].ns[EV_RECV] ==
		      (uint64_t)(6700000000.0 * 90 / rest_samples(r, &r->profile.cpu[0]) + 0.5),
	      "%" PRIu64, r->cpu[0].ns[EV_RECV]);
}

static void test_arithmetic(void)
{
	const struct result *r = made_up_result(true);

	CHECK(r->cpus == 3, "%d", r->cpus);
	CHECK(r->elapsed_ns == 10000000000, "%" PRIu64, r->elapsed_ns);
	CHECK(r->residual_ns == 49, "%" PRIu64, r->residual_ns);
	CHECK(r->all.wall_ns == 24000000000, "%" PRIu64, r->all.wall_ns);
	CHECK(r->all.unseen_ns == 2500000000, "%" PRIu64, r->all.unseen_ns);
	CHECK(r->all.lost == 3, "%" PRIu64, r->all.lost);
	CHECK(r->cpu[0].ns[EV_OTHER] == 870000000, "%" PRIu64, r->cpu[0].ns[EV_OTHER]);
	CHECK(sum_net(r, r->cpu[0].ns) == 2280000000, "%" PRIu64, sum_net(r, r->cpu[0].ns));
	CHECK(sum_net(r, r->all.count) == 4294967311 + 120036, "%" PRIu64,
	      sum_net(r, r->all.count));
	CHECK(percent(sum_net(r, r->cpu[0].ns), r->cpu[0].wall_ns) == 22.8, "%f",
	      percent(sum_net(r, r->cpu[0].ns), r->cpu[0].wall_ns));
	CHECK(percent(1, 0) == 0, "%f", percent(1, 0));
	/* what is not measured is no part of net, whatever the kernel side holds */
	r = made_up_result(false);
	CHECK(sum_net(r, r->cpu[0].ns) == 1430000000, "%" PRIu64, sum_net(r, r->cpu[0].ns));
}

/* Sampling */

static void test_estimate(void)
{
	static const struct {
		uint32_t part, whole;
		struct estimate of_a_second;
	} cases[] = {
		/* E. B. Wilson's formula, worked out apart from netto.c */
		{ 0, 10, { 0, 0, 277532803 } },
		{ 1, 10, { 100000000, 17876213, 404150030 } },
		{ 5, 10, { 500000000, 236593089, 763406911 } },
		{ 10, 10, { 1000000000, 722467197, 1000000000 } },
		{ 300, 1000, { 300000000, 272406842, 329123861 } },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct estimate e = estimate(NSEC_PER_SEC, cases[i].part, cases[i].whole),
				want = cases[i].of_a_second;

		CHECK(e.ns == want.ns && llabs((long long)(e.low_ns - want.low_ns)) <= 1 &&
			      llabs((long long)(e.high_ns - want.high_ns)) <= 1,
		      "%u of %u: %" PRIu64 ", %" PRIu64 " to %" PRIu64, cases[i].part,
		      cases[i].whole, e.ns, e.low_ns, e.high_ns);
	}
}

/* The periods of so many CPUs all differ, none is shorter than it should be, and none by more than
 * 1 % longer. */
static void test_sample_period(void)
{
	static const struct {
		uint64_t period;
		int cpus;
	} cases[] = { { NSEC_PER_SEC / 997, MAX_CPUS },
		      { NSEC_PER_SEC / 20000, 128 },
		      { 6000000000, MAX_CPUS } };
	static struct result r;
	struct profile *p = &r.profile;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t period = cases[i].period;
		unsigned in_step = 0, wrong = 0;

		CHECK(sample_period(period, 0) == period, "%" PRIu64, sample_period(period, 0));
		for (int a = 1; a < cases[i].cpus; a++) {
			uint64_t of_a = sample_period(period, a);

			wrong += of_a <= period || of_a > period + period / 100;
			for (int b = 0; b < a; b++)
				in_step += sample_period(period, b) == of_a;
		}
		CHECK(!wrong, "%u CPUs", wrong);
		CHECK(!in_step, "%u pairs", in_step);
	}
	CHECK(sample_period(1000000, 1) == 1006180, "%" PRIu64, sample_period(1000000, 1));

	p->hz = 1000;
	p->samples = 1900;
	p->lost = 10;
	r.events[EV_RX_SOFTIRQ].source = TRACED;
	r.events[EV_IDLE].source = TRACED;
	r.cpu[0].ns[EV_RX_SOFTIRQ] = r.cpu[1].ns[EV_RX_SOFTIRQ] = NSEC_PER_SEC;
	r.cpu[1].ns[EV_IDLE] = NSEC_PER_SEC;
	count_missed(&r);
	CHECK(p->missed == 83, "%" PRIu64, p->missed); /* 1000 + 993.86 - 1910 */
}

/* The table never takes more than is said, and a short and slow measurement has room too. */
static void test_size_table(void)
{
	static const unsigned rates[] = { 1, 10, 997, 1000, 1001, 2000, 3899, 3900, 4000, MAX_HZ };
	static const double seconds[] = { 0.001, 0.1, 1, 10, 3600, MAX_SECONDS };
	static const int cpus[] = { 1, 2, 64, MAX_CPUS };
	double memory = (double)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	char small[100] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
		for (unsigned j = 0; j < ARRAY_SIZE(seconds); j++) {
			for (int k = 0; k < 8; k++) {
				struct sampler s = { .hz = rates[i],
						     .cpus = cpus[k / 2],
						     .halves = 1 + k % 2 };
				double size, limit = s.hz <= 1000 ? 1 << 20 : 4 << 20;

				size_table(&s, seconds[j]);
				size = (double)s.half_size * s.halves;
				CHECK(size <= limit + 4096 &&
					      size * s.cpus <= memory / 16 + 4096.0 * s.cpus,
				      "%u Hz, %f s, %d CPUs: %.0f bytes on each", s.hz, seconds[j],
				      s.cpus, size);
				if (s.slots < 16 || s.slots & (s.slots - 1) ||
				    s.words < 1 + MAX_DEPTH) {
					snprintf(small, sizeof(small),
						 "%u Hz, %f s, %d CPUs: %u slots, %u words", s.hz,
						 seconds[j], s.cpus, s.slots, s.words);
				}
			}
		}
	}
	CHECK(!small[0], "a stack of %d frames has no room: %s", MAX_DEPTH, small);
}

static void test_append(void)
{
	char text[8] = "";
	size_t length = append(text, sizeof(text), 0, "four");

	CHECK(length == 4 && !strcmp(text, "four"), "%zu, '%s'", length, text);
	length = append(text, sizeof(text), length, "five");
	CHECK(length == 4 && !strcmp(text, "four"),
	      "what does not fit is left out whole: %zu, '%s'", length, text);
	length = append(text, sizeof(text), length, "six");
	CHECK(length == 7 && !strcmp(text, "foursix"), "%zu, '%s'", length, text);
	length = append(text, sizeof(text), length, "");
	CHECK(length == 7 && !strcmp(text, "foursix"), "%zu, '%s'", length, text);
}

static void test_list_cpus(void)
{
	static const struct {
		int cpus[8]; /* and -1 */
		const char *list;
	} cases[] = {
		{ { 0, -1 }, "0" },	  { { 5, 2, 1, 0, -1 }, "0-2,5" },
		{ { 1, 1, 1, -1 }, "1" }, { { 1, 3, 5, 1022, 1023, -1 }, "1,3,5,1022-1023" },
		{ { 1023, -1 }, "1023" },
	};
	struct raw raws[1 + MAX_CPUS];
	static struct profile p;
	struct stack stack = { .first = 1 };
	char text[256];
	const char *comma;

	p.raws = raws;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		int n = 0;

		for (; cases[i].cpus[n] >= 0; n++)
			raws[1 + n] = (struct raw) { .cpu = cases[i].cpus[n], .next = 2 + n };
		raws[n].next = 0;
		list_cpus(&p, &stack, text, sizeof(text));
		CHECK(!strcmp(text, cases[i].list), "'%s', not '%s'", text, cases[i].list);
	}
	/* what has no room is left out, and no number is cut */
	for (int i = 1; i <= MAX_CPUS / 2; i++)
		raws[i] = (struct raw) { .cpu = 2 * i - 1, .next = i < MAX_CPUS / 2 ? i + 1 : 0 };
	list_cpus(&p, &stack, text, sizeof(text));
	comma = strrchr(text, ',');
	CHECK(comma && atoi(comma + 1) % 2 == 1 && atoi(comma + 1) > 100, "'%s'", text);
}

/* Stages in any order within each other: the tree that is printed has no circle, and holds them
 * all. */
static void test_find_parents(void)
{
	static struct profile p;
	uint32_t random = 1;
	int parents[STAGES];

	for (int round = 0; round < 200; round++) {
		memset(&p, 0, sizeof(p));
		for (int i = 0; i < 1 + round; i++) {
			struct sorted s = {};

			s.path_length = 1 + (random >> 16) % 12;
			for (int j = 0; j < s.path_length; j++) {
				random = random * 1103515245 + 12345;
				s.path[j] = 1 + (random >> 16) % (round % 2 ? STAGES - 1 : 5);
			}
			s.stage = s.path[s.path_length - 1];
			count_shares(&p.all, &s, EV_SEND, 1 + (random >> 20) % 9);
			count_nesting(&p, &s, EV_SEND, 1 + (random >> 20) % 9);
		}
		find_parents(&p, EV_SEND, parents);
		for (int stage = STAGE_NONE + 1; stage < STAGES; stage++) {
			int steps = 0, at = stage;

			while (at != STAGE_NONE && steps <= STAGES) {
				if (!p.all.stages[EV_SEND][at].total && at != stage)
					CHECK(false, "%s is within %s, which has no samples",
					      stages[stage].name, stages[at].name);
				at = parents[at];
				steps++;
			}
			CHECK(steps <= STAGES, "round %d: %s is within itself", round,
			      stages[stage].name);
		}
	}
}

/* Kernel symbols */

static bool has_symbol(const struct symbols *s, uint64_t address, const char *name,
		       const char *module)
{
	const struct symbol *found = search_symbol(s, address);

	return !strcmp(name_of(s, found), name) && !strcmp(s->names + found->module, module);
}

#define HAS(address, name, module)                                                                 \
	CHECK(has_symbol(&s, address, name, module), "%" PRIx64 " is %s", (uint64_t)(address),     \
	      name_of(&s, search_symbol(&s, address)))

static void test_symbols(void)
{
	static const char ordinary[] =
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
	static const char no_addresses[] = "0000000000000000 T _stext\n"
					   "0000000000000000 t one\t[mod_a]\n";
	static const char garbage[] = "\n"
				      " \n"
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
	static struct symbols s;
	static struct rules r;
	static char lines[400000];
	int err;

	err = read_lines(&s, &r, ordinary, strlen(ordinary));
	CHECK(!err, "%d", err);
	CHECK(s.count == 2 + 14, "%zu", s.count);
	HAS(0, "[unknown]", "");
	HAS(1, "[unknown]", "");
	HAS(0xffffffff80ffffff, "[unknown]", "");
	HAS(0xffffffff81000000, "_stext", "");
	HAS(0xffffffff810000ff, "_stext", "");
	HAS(0xffffffff81000190, "one", "");
	HAS(0xffffffff81000200, "two", "");
	HAS(0xffffffff81000308, "three", ""); /* its padding is its own */
	HAS(0xffffffff81000312, "three", "");
	HAS(0xffffffff81000400, ".four", "");
	HAS(0xffffffff81000500, "__pfx_", "");
	HAS(0xffffffff81100500 - 1, "__pfx_", ""); /* a function of the kernel may have a MB */
	HAS(0xffffffff81100500, "[unknown]", "");
	HAS(0xffffffffbfffffff, "[unknown]", "");
	HAS(0xffffffffc0000000, "five", "mod_a");
	HAS(0xffffffffc00000ff, "five", "mod_a");
	HAS(0xffffffffc0000100, "six", "mod_a");
	HAS(0xffffffffc00100ff, "six", "mod_a"); /* one of a module 64 kB */
	HAS(0xffffffffc0010100, "[unknown]", "");
	HAS(0xffffffffc0000190, "six", "mod_a");
	HAS(0xffffffffc0100000, "seven", "mod_ab");
	HAS(0xffffffffc0100010, "seven", "mod_ab");
	HAS(0xffffffffc0300010, "eight", "mod_b");
	HAS(0xffffffffc0400018, "small", "mod_c");
	HAS(0xffffffffc0400048, "next", "mod_c");
	HAS(0xffffffffc0200000, "bpf_prog_6deef7357e7b4530_x", "bpf");
	HAS(0xffffffffffffffff, "[unknown]", "");

	CHECK(read_lines(&s, &r, "", 0) == -EACCES, "an empty file");
	CHECK(read_lines(&s, &r, no_addresses, strlen(no_addresses)) == -EACCES, "no addresses");

	err = read_lines(&s, &r, garbage, strlen(garbage));
	CHECK(!err, "%d", err);
	HAS(0xffffffff81000000, "good", "");
	HAS(0xffffffff81000100, "tab", "");
	HAS(0xffffffff81000200, "bracket", "");

	/* lines that are longer than netto's buffer, between good ones */
	for (size_t length = 1000; length < sizeof(lines) - 300; length = length * 3 + 7) {
		int at = sprintf(lines, "ffffffff81000000 t good\nffffffff81000100 t ");

		memset(lines + at, 'x', length);
		at += length + sprintf(lines + at + length,
				       "\nffffffff81000200 t after\nffffffff81000300 t end\n");
		err = read_lines(&s, &r, lines, at);
		CHECK(!err, "%d", err);
		HAS(0xffffffff81000000, "good", "");
		HAS(0xffffffff81000200, "after", "");
		HAS(0xffffffff81000300, "end", "");
	}
	free_symbols(&s);
}

/* A million functions, in order and in reverse. */
static void test_many_symbols(void)
{
	enum { MANY = 1000000, LINE = 48 };
	static struct symbols s;
	static struct rules r;
	char *lines = malloc(MANY * LINE);

	for (int reverse = 0; reverse < 2; reverse++) {
		uint64_t user_ns, kernel_ns, before_ns;
		char *to = lines;
		int err;

		for (uint64_t i = 0; i < MANY; i++)
			to += sprintf(to, "%016" PRIx64 " t function_%06" PRIu64 "%s\n",
				      0xffffffff81000000 + 16 * (reverse ? MANY - 1 - i : i), i,
				      i % 3 ? "" : "\t[mod]");
		own_cpu_time(&user_ns, &kernel_ns);
		before_ns = user_ns + kernel_ns;
		err = read_lines(&s, &r, lines, to - lines);
		own_cpu_time(&user_ns, &kernel_ns);
		CHECK(!err && s.count == 2 + MANY, "%d, %zu symbols", err, s.count);
		CHECK(user_ns + kernel_ns - before_ns < 4 * NSEC_PER_SEC, "%.3f s",
		      (user_ns + kernel_ns - before_ns) / 1e9);
		HAS(0xffffffff81000000 + 16 * 123456 + 5,
		    reverse ? "function_876543" : "function_123456", reverse ? "mod" : "mod");
	}
	free(lines);
	free_symbols(&s);
}

/* The tables */

/* No name may stand in two lists of the same kind, or twice in one: the classes would be mixed up.
 */
static void check_lists(const char *kind, const char *const lists[], const char *const names[],
			int count)
{
	for (int i = 0; i < count; i++) {
		for (const char *name = lists[i]; name && *name; name += strspn(name, " ")) {
			size_t length = strcspn(name, " ");

			for (int j = i; j < count; j++) {
				const char *other =
					j == i ? name + length + strspn(name + length, " ")
					       : lists[j];

				for (; other && *other; other += strspn(other, " ")) {
					size_t other_length = strcspn(other, " ");

					if (length == other_length && !memcmp(name, other, length))
						CHECK(false, "%.*s is in the %s of %s and of %s",
						      (int)length, name, kind, names[i], names[j]);
					other += other_length;
				}
			}
			name += length;
		}
	}
}

static void test_tables(void)
{
	static struct rules r;
	const char *names[STAGES], *lists[STAGES];
	unsigned functions = 0;

	for (int i = STAGE_NONE + 1; i < STAGES; i++) {
		CHECK(stages[i].name && stages[i].name[0], "stage %d has no name", i);
		for (int j = STAGE_NONE + 1; j < i; j++)
			CHECK(strcmp(stages[i].name, stages[j].name), "two stages are %s",
			      stages[i].name);
	}
	for (int i = 0; i < STAGES; i++) {
		names[i] = stages[i].name;
		lists[i] = stages[i].symbols;
	}
	check_lists("symbols", lists, names, STAGES);
	for (int i = 0; i < STAGES; i++)
		lists[i] = stages[i].modules;
	check_lists("modules", lists, names, STAGES);
	for (int i = 0; i < STAGES; i++)
		lists[i] = stages[i].callers;
	check_lists("callers", lists, names, STAGES);
	for (int i = 0; i < ACTIVITIES; i++) {
		names[i] = activities[i].name;
		lists[i] = activities[i].symbols;
	}
	check_lists("symbols", lists, names, ACTIVITIES);
	for (unsigned i = 0; i < ARRAY_SIZE(roots); i++) {
		names[i] = event_name(roots[i].event);
		lists[i] = roots[i].symbols;
	}
	check_lists("roots", lists, names, ARRAY_SIZE(roots));

	make_rules(&r);
	for (unsigned i = 0; i < ARRAY_SIZE(r.functions); i++)
		functions += r.functions[i].name != NULL;
	CHECK(functions <= ARRAY_SIZE(r.functions) * 3 / 4, "%u functions in a table of %zu",
	      functions, ARRAY_SIZE(r.functions));
	CHECK(r.module_count <= ARRAY_SIZE(r.modules), "%u modules", r.module_count);
	CHECK(r.starred_count <= ARRAY_SIZE(r.starred), "%u names with a star", r.starred_count);
}

/* Stacks that are made up, since they are hard to come by */

#define POLL                                                                                       \
	"vendor_poll[vendor] __napi_poll net_rx_action handle_softirqs __irq_exit_rcu common_interrupt"
#define LIST                                                                                       \
	"__netif_receive_skb_list_core netif_receive_skb_list_internal napi_complete_done " POLL
#define CORE "__netif_receive_skb_core.constprop.0 __netif_receive_skb_one_core " RX
#define ONE  "__netif_receive_skb_one_core " RX
#define V4   "ip_protocol_deliver_rcu ip_local_deliver_finish ip_local_deliver " ONE
#define SEND "ip_send_skb udp_send_skb udp_sendmsg inet_sendmsg sock_sendmsg __sys_sendto"
#define XMIT                                                                                       \
	"dev_hard_start_xmit sch_direct_xmit __dev_queue_xmit ip_finish_output2 ip_output " SEND

/* A stack leaf first; what its root tells, the stages from the root to the leaf, the activity. */
struct made_up_case {
	const char *frames;
	int event;
	const char *path, *activity;
};

/* clang-format off */
static const struct made_up_case made_up_cases[] = {
	/* forwarding: a tail call has deleted ip_rcv() and ip_forward() */
	{ "dev_hard_start_xmit __dev_queue_xmit ip_finish_output2 ip_output " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core forward_v4 output_v4 qdisc driver_tx", "-" },
	{ "dev_hard_start_xmit __dev_queue_xmit ip6_finish_output2 ip6_finish_output ip6_output " ONE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core forward_v6 output_v6 qdisc driver_tx", "-" },
	{ "ip6_forward " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core forward_v6", "-" },
	{ "veth_xmit[veth] dev_hard_start_xmit __dev_queue_xmit ip_finish_output2 ip_sublist_rcv_finish ip_list_rcv_finish.constprop.0 "
	  "ip_sublist_rcv ip_list_rcv " LIST,
	  EV_RX_SOFTIRQ, "napi driver gro core ip_rx_v4 forward_v4 output_v4 qdisc driver_tx",
	  "-" },
	{ "ip_finish_output2 ip_output ip_forward_finish ip_forward ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 forward_v4 output_v4", "-" },
	/* what this host answers is none */
	{ "__dev_queue_xmit ip_finish_output2 ip_output __ip_queue_xmit __tcp_transmit_skb __tcp_send_ack tcp_rcv_established tcp_v4_do_rcv "
	  "tcp_v4_rcv " V4,
	  EV_RX_SOFTIRQ, "napi virtual_poll core local_v4 tcp_rx tcp_tx output_v4 qdisc", "-" },
	{ "ip_output ip_push_pending_frames icmp_push_reply icmp_reply icmp_echo icmp_rcv " V4,
	  EV_RX_SOFTIRQ, "napi virtual_poll core local_v4 icmp output_v4", "-" },
	{ "ip_output __icmp_send ip_forward ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 forward_v4 icmp output_v4", "-" },
	{ "ip6_output ip6_send_skb icmpv6_push_pending_frames icmpv6_echo_reply icmpv6_rcv ip6_protocol_deliver_rcu ip6_input_finish ip6_input " ONE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core local_v6 icmp output_v6", "-" },
	{ "__dev_queue_xmit arp_xmit arp_send_dst arp_process arp_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core arp qdisc", "-" },
	/* a bridge that puts what it forwards into a tunnel is no router; nor is what a tunnel
	   sends */
	{ "ip_finish_output2 ip_output ip_local_out iptunnel_xmit udp_tunnel_xmit_skb vxlan_xmit_one[vxlan] vxlan_xmit[vxlan] "
	  "dev_hard_start_xmit __dev_queue_xmit br_dev_queue_push_xmit[bridge] br_handle_frame_finish[bridge] br_handle_frame[bridge] " CORE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core bridge qdisc driver_tx tunnel_tx output_v4", "-" },
	{ "ip_finish_output2 ip_output ip_local_out iptunnel_xmit udp_tunnel_xmit_skb vxlan_xmit_one[vxlan] vxlan_xmit[vxlan] "
	  "dev_hard_start_xmit __dev_queue_xmit ip_finish_output2 ip_output " ONE,
	  EV_RX_SOFTIRQ,
	  "napi virtual_poll core forward_v4 output_v4 qdisc driver_tx tunnel_tx output_v4", "-" },
	{ "ip6gre_tunnel_xmit[ip6_gre] " XMIT, EV_SEND,
	  "socket udp_tx output_v4 qdisc driver_tx tunnel_tx", "-" },
	{ "vxlan_build_skb[vxlan] vxlan_xmit_one[vxlan] vxlan_xmit[vxlan] " XMIT, EV_SEND,
	  "socket udp_tx output_v4 qdisc driver_tx tunnel_tx", "-" },
	{ "tnl_update_pmtu[ip_tunnel] ip_tunnel_xmit[ip_tunnel] ipip_tunnel_xmit[ipip] " XMIT,
	  EV_SEND, "socket udp_tx output_v4 qdisc driver_tx tunnel_tx", "-" },
	{ "ip_do_fragment br_nf_post_routing[br_netfilter] nf_hook_slow br_forward_finish[bridge] br_handle_frame_finish[bridge] br_handle_frame[bridge] " CORE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core bridge nf_bridge bridge_nf output_v4", "-" },
	/* decapsulated, and then forwarded in the same stack */
	{ "dev_hard_start_xmit __dev_queue_xmit ip_finish_output2 ip_output __netif_receive_skb_one_core netif_receive_skb vxlan_rcv[vxlan] "
	  "udp_queue_rcv_one_skb udp_unicast_rcv_skb __udp4_lib_rcv " V4,
	  EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 udp_rx tunnel_rx core forward_v4 output_v4 qdisc driver_tx",
	  "-" },

	/* the hooks of netfilter, by what calls nf_hook_slow() */
	{ "nf_hook_slow ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 nf_prerouting_v4", "-" },
	{ "nf_conntrack_in[nf_conntrack] nf_hook_slow NF_HOOK.constprop.0 ip_rcv " ONE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core ip_rx_v4 nf_prerouting_v4 conntrack", "-" },
	{ "nf_hook_slow nf_hook_slow_list ip_sublist_rcv ip_list_rcv " LIST, EV_RX_SOFTIRQ,
	  "napi driver gro core ip_rx_v4 nf_prerouting_v4", "-" },
	{ "nf_hook_slow_list NF_HOOK_LIST.constprop.0 ip6_sublist_rcv ipv6_list_rcv " LIST,
	  EV_RX_SOFTIRQ, "napi driver gro core ip_rx_v6 nf_prerouting_v6", "-" },
	{ "nft_do_chain[nf_tables] nft_do_chain_inet[nf_tables] nf_hook_slow nf_hook_slow_list ip6_sublist_rcv ipv6_list_rcv " LIST,
	  EV_RX_SOFTIRQ, "napi driver gro core ip_rx_v6 nf_prerouting_v6 nft", "-" },
	{ "ipt_do_table[ip_tables] nf_hook_slow ip_local_deliver ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 local_v4 nf_input_v4 iptables", "-" },
	{ "nf_hook_slow ip6_input " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v6 nf_input_v6", "-" },
	{ "nf_hook_slow ip_forward " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core forward_v4 nf_forward_v4", "-" },
	{ "nf_hook_slow ip6_forward " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core forward_v6 nf_forward_v6", "-" },
	{ "nf_hook_slow __ip_local_out ip_local_out " SEND, EV_SEND,
	  "socket udp_tx output_v4 nf_output_v4", "-" },
	{ "nf_hook_slow __ip6_local_out ip6_send_skb udp_v6_send_skb udpv6_sendmsg inet6_sendmsg",
	  EV_SEND, "socket udp_tx output_v6 nf_output_v6", "-" },
	{ "nf_hook_slow ip6_xmit inet6_csk_xmit __tcp_transmit_skb tcp_write_xmit tcp_sendmsg inet6_sendmsg",
	  EV_SEND, "socket tcp_tx output_v6 nf_output_v6", "-" },
	{ "nf_hook_slow raw_sendmsg inet_sendmsg", EV_SEND, "socket raw nf_output_v4", "-" },
	{ "nf_hook_slow ip_output " SEND, EV_SEND, "socket udp_tx output_v4 nf_postrouting_v4",
	  "-" },
	{ "nf_nat_inet_fn[nf_nat] nf_hook_slow ip6_output ip6_send_skb udp_v6_send_skb udpv6_sendmsg inet6_sendmsg",
	  EV_SEND, "socket udp_tx output_v6 nf_postrouting_v6 nat", "-" },
	{ "nft_do_chain[nf_tables] nft_do_chain_netdev[nf_tables] nf_hook_slow " CORE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core nf_ingress nft", "-" },
	{ "nf_hook_slow __dev_queue_xmit ip_finish_output2 ip_output " SEND, EV_SEND,
	  "socket udp_tx output_v4 qdisc nf_egress", "-" },
	{ "nft_do_chain_netdev[nf_tables] nf_hook_slow __dev_queue_xmit ip_finish_output2 ip_output " SEND,
	  EV_SEND, "socket udp_tx output_v4 qdisc nf_egress nft", "-" },
	{ "nft_do_chain[nf_tables] nf_hook_slow br_handle_frame_finish[bridge] br_handle_frame[bridge] " CORE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core bridge nf_bridge nft", "-" },
	{ "nf_hook_slow something_new " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core netfilter",
	  "-" },
	{ "nf_flow_offload_ip_hook[nf_flow_table] nf_hook_slow " CORE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core nf_ingress flowtable", "-" },

	/* a softirq within a send: what it interrupted is left out */
	{ "udp_queue_rcv_one_skb udp_unicast_rcv_skb __udp4_lib_rcv " V4
	  " do_softirq.part.0 __local_bh_enable_ip __dev_queue_xmit "
	  "ip_finish_output2 ip_output " SEND,
	  EV_RX_SOFTIRQ, "napi virtual_poll core local_v4 udp_rx", "-" },
	{ "call_timer_fn __run_timers.part.0 run_timer_softirq handle_softirqs __irq_exit_rcu sysvec_apic_timer_interrupt "
	  "asm_sysvec_apic_timer_interrupt __dev_queue_xmit ip_finish_output2 ip_output " SEND,
	  EV_OTHER, "softirq", "-" },
	{ "tcp_write_xmit tcp_tsq_handler tcp_tasklet_func tasklet_action_common.isra.0 __do_softirq " SEND,
	  EV_TCP_WORK, "tcp_tx", "-" },
	/* a top half within a send, and within a softirq */
	{ "handle_edge_irq __common_interrupt common_interrupt asm_common_interrupt __dev_queue_xmit ip_finish_output2 ip_output " SEND,
	  EV_SEND, "socket udp_tx output_v4 qdisc interrupt", "-" },
	{ "vendor_irq[vendor] __handle_irq_event_percpu handle_irq_event common_interrupt asm_common_interrupt ip_rcv_core " ONE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core ip_rx_v4 interrupt", "-" },
	/* PREEMPT_RT, threaded NAPI, busy polling */
	{ "udp_queue_rcv_one_skb " V4 " __local_bh_enable_ip " SEND, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 udp_rx", "-" },
	{ "vendor_clean[vendor] vendor_poll[vendor] __napi_poll napi_threaded_poll_loop napi_threaded_poll kthread",
	  EV_NAPI_THREAD, "napi driver", "-" },
	{ "vendor_poll[vendor] __napi_busy_loop napi_busy_loop sk_busy_loop __skb_wait_for_more_packets udp_recvmsg inet_recvmsg",
	  EV_BUSY_POLL, "napi driver", "-" },

	/* names: what a compiler adds to them */
	{ "__netif_receive_skb_core.constprop.0 " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core",
	  "-" },
	{ "tcp_ack.cold tcp_rcv_established tcp_v4_do_rcv tcp_v4_rcv " V4, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 tcp_rx", "-" },
	{ "ip_rcv_finish_core.isra.0 ip_rcv_finish " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4", "-" },
	{ "tcp_write_xmit.part.3 tcp_sendmsg inet_sendmsg", EV_SEND, "socket tcp_tx", "-" },
	{ "udp_sendmsg.llvm.1234567890 inet_sendmsg", EV_SEND, "socket udp_tx", "-" },
	{ "__pfx_ip_rcv " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core ip_rx_v4", "-" },
	{ "__pfx_foo[nf_conntrack] ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 conntrack", "-" },
	{ "tcp_ack! tcp_rcv_established! tcp_v4_do_rcv! tcp_v4_rcv! " V4, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 tcp_rx", "-" },
	{ "panic_like udp_sendmsg! inet_sendmsg! sock_sendmsg!", EV_SEND, "socket udp_tx", "-" },

	/* functions of which the module is known alone; by name in full, then by module, then by
	   the beginning of the name */
	{ "foo[nf_conntrack] nf_hook_slow ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 nf_prerouting_v4 conntrack", "-" },
	{ "foo[nft_compat] nft_do_chain[nf_tables] nf_hook_slow ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 nf_prerouting_v4 nft", "-" },
	{ "foo[xt_conntrack] nf_hook_slow ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 nf_prerouting_v4 iptables", "-" },
	{ "nft_nat_do_chain[nft_chain_nat] nf_hook_slow ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 nf_prerouting_v4 nat", "-" },
	{ "nf_nat_foo[nf_nat_ftp] nf_hook_slow ip_rcv " ONE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core ip_rx_v4 nf_prerouting_v4 nat", "-" },
	{ "nf_conntrack_in[bridge] " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core conntrack", "-" },
	{ "nft_foo[bridge] " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core bridge", "-" },
	{ "br_nf_foo[br_netfilter] " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core bridge_nf", "-" },
	{ "br_nf_foo " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core bridge_nf",
	  "-" }, /* the longer beginning */
	{ "br_foo " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core bridge", "-" },
	{ "ovs_foo " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core ovs", "-" },
	{ "br " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core", "-" },
	{ "foo[nobody_knows] " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core", "-" },
	{ "kfree_skb wg_receive[wireguard] " ONE, EV_RX_SOFTIRQ, "napi virtual_poll core wireguard",
	  "skb_free" },
	/* workers are roots also where what they are in is built in, and a beginning tells their
	   stage */
	{ "wg_packet_tx_worker[wireguard] process_one_work worker_thread kthread",
	  EV_NET_WORKER, "wireguard", "-" },
	{ "wg_packet_tx_worker process_one_work worker_thread kthread", EV_NET_WORKER, "wireguard",
	  "-" },
	{ "do_epoll_wait io_issue_sqe io_wq_submit_work io_worker_handle_work io_wq_worker ret_from_fork", EV_IO_WORKER,
	  "unknown", "-" },
	/* idle, and a softirq there */
	{ "pv_native_safe_halt default_idle default_idle_call do_idle cpu_startup_entry start_secondary", EV_IDLE,
	  "unknown", "-" },
	{ "ip_rcv_core ip_rcv " ONE " __irq_exit_rcu common_interrupt asm_common_interrupt default_idle do_idle cpu_startup_entry",
	  EV_RX_SOFTIRQ, "napi virtual_poll core ip_rx_v4", "-" },

	/* a task that was preempted where an interrupt returned is in no top half any more */
	{ "finish_task_switch __schedule preempt_schedule_irq irqentry_exit asm_sysvec_apic_timer_interrupt _copy_to_iter tcp_recvmsg_locked "
	  "tcp_recvmsg inet_recvmsg",
	  EV_RECV, "socket tcp_recv", "schedule" },
	/* these build datagrams for whom calls them */
	{ "__ip_append_data ip_append_data icmp_push_reply icmp_reply icmp_echo icmp_rcv " V4,
	  EV_RX_SOFTIRQ, "napi virtual_poll core local_v4 icmp", "-" },
	{ "__ip6_append_data ip6_append_data rawv6_sendmsg inet_sendmsg", EV_SEND, "socket raw",
	  "-" },
	{ "skb_clone __ip_append_data ip_make_skb udp_sendmsg inet_sendmsg", EV_SEND,
	  "socket udp_tx", "skb_alloc" },
	/* and these lie on the way in and on the way out */
	{ "tcp_rearm_rto tcp_event_new_data_sent tcp_write_xmit tcp_sendmsg inet_sendmsg", EV_SEND,
	  "socket tcp_tx", "-" },
	{ "tcp_chrono_stop tcp_ack tcp_rcv_established tcp_v4_do_rcv tcp_v4_rcv " V4, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 tcp_rx", "-" },
	{ "__usecs_to_jiffies tcp_schedule_loss_probe tcp_write_xmit tcp_sendmsg inet_sendmsg",
	  EV_SEND, "socket tcp_tx", "-" },
	{ "__napi_schedule veth_xmit[veth] " XMIT, EV_SEND,
	  "socket udp_tx output_v4 qdisc driver_tx", "-" },
	{ "__napi_schedule enqueue_to_backlog netif_rx_internal __netif_rx loopback_xmit " XMIT,
	  EV_SEND, "socket udp_tx output_v4 qdisc driver_tx rps", "-" },
	{ "__napi_schedule vendor_irq[vendor] __handle_irq_event_percpu handle_irq_event common_interrupt asm_common_interrupt " XMIT,
	  EV_SEND, "socket udp_tx output_v4 qdisc driver_tx interrupt", "-" },
	{ "__skb_wait_for_more_packets __skb_recv_datagram skb_recv_datagram raw_recvmsg inet_recvmsg",
	  EV_RECV, "socket raw", "-" },
	{ "nf_conntrack_put tcp_v4_rcv " V4, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 tcp_rx", "skb_free" },
	{ "ip6_xmit tcp_v6_send_synack tcp_conn_request tcp_rcv_state_process tcp_v6_do_rcv tcp_v6_rcv ip6_protocol_deliver_rcu ip6_input " ONE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core local_v6 tcp_rx tcp_tx output_v6", "-" },
	{ "ndisc_hash ___neigh_create ip6_finish_output2 ip6_output ip6_send_skb udp_v6_send_skb udpv6_sendmsg inet6_sendmsg",
	  EV_SEND, "socket udp_tx output_v6 neighbour", "-" },
	{ "__ip4_datagram_connect udp_connect bpf_trampoline_1[bpf] __sys_connect", EV_CONN,
	  "connection", "-" }, /* from 6.19 on */

	/* several names for an address: the one that is known, wherever it comes */
	{ "run_timer_softirq __do_softirq=__softirqentry_text_start " SEND, EV_OTHER, "softirq",
	  "-" },
	{ "run_timer_softirq __softirqentry_text_end=__do_softirq=another " SEND, EV_OTHER,
	  "softirq", "-" },
	{ "nothing=tcp_rate_gen=whatever tcp_v4_rcv " V4, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 tcp_rx", "-" },
	{ "nothing=skb_clone tcp_v4_rcv " V4, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 tcp_rx", "skb_alloc" },

	/* addresses of no function inherit their caller */
	{ "@low udp_sendmsg inet_sendmsg", EV_SEND, "socket udp_tx", "-" },
	{ "@gap udp_sendmsg inet_sendmsg", EV_SEND, "socket udp_tx", "-" },
	{ "@module udp_sendmsg inet_sendmsg", EV_SEND, "socket udp_tx", "-" },
	{ "@high udp_sendmsg inet_sendmsg", EV_SEND, "socket udp_tx", "-" },
	{ "@top udp_sendmsg inet_sendmsg", EV_SEND, "socket udp_tx", "-" },
	{ "@high @gap @low", EV_NONE, "unknown", "-" },
	{ "@zero", EV_NONE, "unknown", "-" },
	{ "something @low", EV_NONE, "unknown", "-" },

	/* without a root */
	{ "skb_clone ip_output ip_send_skb", EV_NONE, "output_v4", "skb_alloc" },
	/* what cannot be unwound: a leaf, and perhaps its caller */
	{ "__x86_indirect_thunk_array @zero tcp_v4_rcv", EV_NONE, "tcp_rx", "-" },
	{ "__x86_indirect_thunk_array @zero @zero tcp_v4_rcv", EV_NONE, "tcp_rx", "-" },
	{ "__x86_indirect_thunk_array @zero __x86_indirect_thunk_array tcp_v4_rcv", EV_NONE,
	  "tcp_rx", "-" },
	{ "__x86_indirect_thunk_array @zero tcp_v4_rcv @low", EV_NONE, "tcp_rx", "-" },
	{ "__x86_indirect_thunk_array @zero udp_sendmsg ip_mc_output", EV_SEND, "udp_tx",
	  "-" }, /* the second word is chance */
	{ "__x86_indirect_thunk_array @zero __napi_poll net_rx_action", EV_NONE, "napi", "-" },
	{ "__x86_indirect_thunk_array @zero bpf_trampoline_1[bpf]", EV_NONE, "tracing", "-" },
	{ "__x86_indirect_thunk_array @zero something", EV_NONE, "unknown", "-" },

	/* netto's own programs, where they run and where they are about to */
	{ "bpf_prog_6deef7357e7b4530_netto_send4[bpf] bpf_trampoline_6442[bpf] inet_sendmsg sock_sendmsg",
	  EV_SEND, "socket tracing", "-" },
	{ "ktime_get_mono_fast_ns bpf_prog_6deef7357e7b4530_netto_send4[bpf] bpf_trampoline_6442[bpf] inet_sendmsg sock_sendmsg",
	  EV_SEND, "socket tracing", "-" },
	{ "kmem_cache_alloc bpf_task_storage_get bpf_prog_6deef7357e7b4530_netto_send4[bpf] bpf_trampoline_6442[bpf] inet_sendmsg",
	  EV_SEND, "socket tracing", "-" },
	{ "bpf_trampoline_6442[bpf] inet_sendmsg sock_sendmsg", EV_SEND, "socket tracing", "-" },
	{ "__bpf_prog_enter_recur bpf_trampoline_6442[bpf] inet_sendmsg sock_sendmsg", EV_SEND,
	  "socket tracing", "-" },
	{ "migrate_disable __bpf_prog_enter bpf_trampoline_6442[bpf] inet_sendmsg sock_sendmsg",
	  EV_SEND, "socket tracing", "-" },
	{ "bpf_prog_0123456789abcdef_netto_soft[bpf] bpf_trace_run1 __bpf_trace_softirq handle_softirqs do_softirq",
	  EV_OTHER, "softirq tracing", "-" },
	{ "bpf_prog_0123456789abcdef_netto_soft[bpf] bpf_trace_run1 handle_softirqs run_ksoftirqd",
	  EV_OTHER, "softirq tracing", "-" },
	/* what interrupted such a program is not tracing */
	{ "tcp_v4_rcv " V4
	  " __irq_exit_rcu sysvec_apic_timer_interrupt asm_sysvec_apic_timer_interrupt bpf_prog_6deef7357e7b4530_netto_send4[bpf] "
	  "bpf_trampoline_6442[bpf] inet_sendmsg sock_sendmsg",
	  EV_RX_SOFTIRQ, "napi virtual_poll core local_v4 tcp_rx", "-" },
	{ "tcp_v4_rcv " V4
	  " do_softirq.part.0 __local_bh_enable_ip __bpf_prog_exit_recur bpf_trampoline_6442[bpf] inet_sendmsg sock_sendmsg",
	  EV_RX_SOFTIRQ, "napi virtual_poll core local_v4 tcp_rx", "-" },
	/* a function that is traced is called by itself, through the trampoline */
	{ "udp_sendmsg inet_sendmsg bpf_trampoline_6442[bpf] inet_sendmsg sock_sendmsg __sys_sendto",
	  EV_SEND, "socket udp_tx", "-" },
	{ "skb_clone tcp_sendmsg inet_sendmsg bpf_trampoline_1[bpf] inet_sendmsg bpf_trampoline_2[bpf] inet_sendmsg sock_sendmsg",
	  EV_SEND, "socket tcp_tx", "skb_alloc" },
	{ "bpf_prog_aaaaaaaaaaaaaaaa_other[bpf] bpf_trampoline_1[bpf] tcp_sendmsg inet_sendmsg",
	  EV_SEND, "socket tcp_tx", "-" },

	/* eBPF programs of others */
	{ "bpf_prog_f00_xdp_fw[bpf] vendor_clean_rx[vendor] " POLL, EV_RX_SOFTIRQ,
	  "napi driver xdp", "-" },
	{ "bpf_prog_f01_sub[bpf] bpf_prog_f00_xdp_fw[bpf] vendor_clean_rx[vendor] " POLL,
	  EV_RX_SOFTIRQ, "napi driver xdp", "-" },
	{ "htab_map_lookup bpf_prog_f00_xdp_fw[bpf] vendor_clean_rx[vendor] " POLL, EV_RX_SOFTIRQ,
	  "napi driver xdp", "-" },
	{ "bpf_prog_f00_xdp_fw[bpf] veth_xdp_rcv[veth] veth_poll[veth] __napi_poll net_rx_action",
	  EV_RX_SOFTIRQ, "napi virtual_poll xdp", "-" },
	{ "vendor_xdp_xmit[vendor] bq_xmit_all __dev_flush xdp_do_flush " POLL, EV_RX_SOFTIRQ,
	  "napi driver xdp driver_tx", "-" },
	{ "bpf_prog_f00_xdp_fw[bpf] bpf_prog_run_generic_xdp do_xdp_generic " CORE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core xdp_generic", "-" },
	{ "bpf_dispatcher_xdp[bpf] bpf_prog_run_generic_xdp do_xdp_generic " CORE, EV_RX_SOFTIRQ,
	  "napi virtual_poll core xdp_generic", "-" },
	{ "bpf_prog_f00_tc[bpf] cls_bpf_classify[cls_bpf] __tcf_classify tcf_classify tc_run " CORE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core tc", "-" },
	{ "bpf_prog_f00_tc[bpf] cls_bpf_classify[cls_bpf] __tcf_classify tcf_classify tc_run __dev_queue_xmit ip_finish_output2 ip_output " SEND,
	  EV_SEND, "socket udp_tx output_v4 qdisc tc_egress", "-" },
	{ "bpf_prog_f00_tc[bpf] cls_bpf_classify[cls_bpf] tcf_classify __dev_queue_xmit ip_finish_output2 ip_output " ONE,
	  EV_RX_SOFTIRQ, "napi virtual_poll core forward_v4 output_v4 qdisc tc_egress", "-" },
	{ "bpf_prog_f00_tcx[bpf] " CORE, EV_RX_SOFTIRQ, "napi virtual_poll core tc",
	  "-" }, /* from 6.6 on, nothing is between */
	{ "bpf_prog_f00_tcx[bpf] __dev_queue_xmit ip_finish_output2 ip_output " SEND, EV_SEND,
	  "socket udp_tx output_v4 qdisc tc_egress", "-" },
	{ "bpf_prog_f00_filter[bpf] sk_filter_trim_cap tcp_v4_rcv " V4, EV_RX_SOFTIRQ,
	  "napi virtual_poll core local_v4 tcp_rx", "-" },

	/* drivers: functions that nobody knows */
	{ "vendor_clean_rx[vendor] " POLL, EV_RX_SOFTIRQ, "napi driver", "-" },
	{ "e1000_clean_rx_irq e1000_clean __napi_poll net_rx_action", EV_RX_SOFTIRQ, "napi driver",
	  "-" },
	{ "page_pool_alloc_pages vendor_refill[vendor] " POLL, EV_RX_SOFTIRQ, "napi driver",
	  "skb_alloc" },
	{ "kmem_cache_free napi_consume_skb vendor_clean_tx[vendor] " POLL, EV_RX_SOFTIRQ,
	  "napi driver", "skb_free" },
	{ "_raw_spin_lock vendor_clean_tx[vendor] " POLL, EV_RX_SOFTIRQ, "napi driver", "lock" },
	{ "tcp4_gro_receive inet_gro_receive dev_gro_receive napi_gro_receive vendor_clean_rx[vendor] " POLL,
	  EV_RX_SOFTIRQ, "napi driver gro", "-" },
	{ "@module __napi_poll net_rx_action", EV_RX_SOFTIRQ, "napi driver", "-" },
	{ "gro_cell_poll __napi_poll net_rx_action", EV_RX_SOFTIRQ, "napi virtual_poll", "-" },
	{ "vendor_map[vendor] vendor_xmit[vendor] " XMIT, EV_SEND,
	  "socket udp_tx output_v4 qdisc driver_tx", "-" },
	{ "virtqueue_add_outbuf start_xmit[virtio_net] " XMIT, EV_SEND,
	  "socket udp_tx output_v4 qdisc driver_tx", "-" },
	{ "consume_skb vendor_xmit[vendor] " XMIT, EV_SEND,
	  "socket udp_tx output_v4 qdisc driver_tx", "skb_free" },
	{ "vlan_dev_hard_start_xmit[8021q] " XMIT, EV_SEND,
	  "socket udp_tx output_v4 qdisc driver_tx vlan", "-" },
	{ "br_dev_xmit[bridge] " XMIT, EV_SEND, "socket udp_tx output_v4 qdisc driver_tx bridge",
	  "-" },
	{ "vendor_xmit[vendor] dev_hard_start_xmit sch_direct_xmit __qdisc_run net_tx_action handle_softirqs",
	  EV_TX_SOFTIRQ, "napi qdisc driver_tx", "-" },
	{ "napi_consume_skb net_tx_action handle_softirqs", EV_TX_SOFTIRQ, "napi", "skb_free" },
	{ "xfrm_dev_backlog handle_softirqs", EV_TX_SOFTIRQ, "napi",
	  "-" }, /* the end of net_tx_action() is a jump */

	/* what is generic says nothing of functions that nobody knows below it, but of those that
	   all call */
	{ "__list_del_entry_valid_or_report net_rx_action", EV_RX_SOFTIRQ, "napi", "-" },
	{ "__rcu_read_unlock inet_sendmsg sock_sendmsg", EV_SEND, "socket", "-" },
	{ "__local_bh_enable_ip inet_stream_connect", EV_CONN, "socket", "-" },
	{ "__pi___x86_indirect_thunk_rax __napi_poll net_rx_action", EV_RX_SOFTIRQ, "napi", "-" },
	{ "kmem_cache_free net_rx_action", EV_RX_SOFTIRQ, "napi", "-" },
	{ "put_cpu_partial net_rx_action", EV_RX_SOFTIRQ, "napi", "-" },
	{ "sk_free inet_release", EV_CONN, "socket", "-" },
	{ "release_sock __inet_stream_connect inet_stream_connect", EV_CONN, "socket", "-" },
	{ "add_wait_queue __inet_stream_connect inet_stream_connect", EV_CONN, "socket", "-" },
	{ "call_rcu inet_release", EV_CONN, "socket", "-" },
	{ "raw_close inet_release", EV_CONN, "socket connection", "-" },
	{ "udp_disconnect inet_dgram_connect", EV_CONN, "socket connection", "-" },
	{ "udp_lib_get_port inet_autobind inet_dgram_connect", EV_CONN, "socket connection", "-" },
	{ "somebodys_sendmsg[somebody] inet_sendmsg sock_sendmsg", EV_SEND, "socket unknown", "-" },
	{ "net_rx_action handle_softirqs", EV_RX_SOFTIRQ, "napi", "-" },
	{ "inet_sendmsg sock_sendmsg", EV_SEND, "socket", "-" },
	{ "_raw_spin_lock_bh lock_sock_nested inet_accept", EV_CONN, "socket", "lock" },

	/* the backlog of a socket is received by the task that owns it */
	{ "tcp_ack tcp_rcv_established tcp_v4_do_rcv __release_sock release_sock tcp_sendmsg inet_sendmsg",
	  EV_SEND, "socket tcp_tx tcp_rx", "-" },
	{ "__dev_queue_xmit ip_finish_output2 ip_output __ip_queue_xmit __tcp_transmit_skb tcp_connect tcp_v4_connect __inet_stream_connect inet_stream_connect",
	  EV_CONN, "socket connection tcp_tx output_v4 qdisc", "-" },
	{ "rep_movs_alternative _copy_to_iter __skb_datagram_iter skb_copy_datagram_iter tcp_recvmsg_locked tcp_recvmsg inet_recvmsg",
	  EV_RECV, "socket tcp_recv", "copy" },
};

/* The same before 5.12, where net_rx_action() itself calls a driver. */
static const struct made_up_case made_up_old_cases[] = {
	{ "e1000_clean_rx_irq e1000_clean net_rx_action __do_softirq", EV_RX_SOFTIRQ, "napi driver",
	  "-" },
	{ "vendor_clean_rx[vendor] vendor_poll[vendor] net_rx_action __do_softirq", EV_RX_SOFTIRQ,
	  "napi driver", "-" },
	{ "process_backlog net_rx_action __do_softirq", EV_RX_SOFTIRQ, "napi virtual_poll", "-" },
	{ "_raw_spin_lock net_rx_action __do_softirq", EV_RX_SOFTIRQ, "napi", "lock" },
	{ "__list_del_entry_valid net_rx_action __do_softirq", EV_RX_SOFTIRQ, "napi", "-" },
	{ "__kfree_skb_flush net_rx_action __do_softirq", EV_RX_SOFTIRQ, "napi", "skb_free" },
	/* what is below an interrupt is no return address: it may be where a function begins */
	{ "__schedule preempt_schedule_irq irqentry_exit asm_sysvec_apic_timer_interrupt udp_recvmsg^ inet_recvmsg",
	  EV_RECV, "socket udp_recv", "schedule" },
};
/* clang-format on */

static void check_made_up(const struct made_up_case *cases, unsigned count, bool padded)
{
	uint64_t addresses[MAX_DEPTH];
	struct sorted s;

	made_up.count = 0;
	made_up.padded = padded;
	for (unsigned i = 0; i < count; i++)
		made_up_stack(cases[i].frames, addresses); /* gives each function an address */
	CHECK(!read_made_up(), "the made-up functions");
	for (unsigned i = 0; i < count; i++) {
		int depth = made_up_stack(cases[i].frames, addresses);
		char path[1000] = "";
		size_t length = 0;

		sort_stack(&made_up.symbols, &made_up.rules, addresses, depth, &s);
		for (int j = 0; j < s.path_length; j++) {
			length = append(path, sizeof(path), length, j ? " " : "");
			length = append(path, sizeof(path), length, stage_name(s.path[j]));
		}
		CHECK(s.event == cases[i].event, "%s, not %s: %s", event_name(s.event),
		      event_name(cases[i].event), cases[i].frames);
		CHECK(!strcmp(path, cases[i].path) && s.stage == s.path[s.path_length - 1],
		      "'%s', not '%s': %s", path, cases[i].path, cases[i].frames);
		CHECK(!strcmp(activity_name(s.activity), cases[i].activity), "%s, not %s: %s",
		      activity_name(s.activity), cases[i].activity, cases[i].frames);
	}
}

/* A top half in a softirq in a send: of the stack that is its own alone. */
static void test_top_half(void)
{
	uint64_t words[1 + MAX_DEPTH];
	static struct profile p = { .symbols = &made_up.symbols, .rules = &made_up.rules };
	struct raw raw = { .words = words };
	const char *frames = "vring_interrupt __handle_irq_event_percpu handle_irq_event "
			     "handle_edge_irq __common_interrupt common_interrupt "
			     "asm_common_interrupt udp_rcv net_rx_action __do_softirq "
			     "udp_sendmsg inet_sendmsg";
	struct sorted s;
	int depth;

	made_up.count = 0;
	made_up_stack(frames, words + 1);
	CHECK(!read_made_up(), "the made-up functions");
	depth = made_up_stack(frames, words + 1);
	for (int owner = EV_RX_SOFTIRQ; owner <= EV_HARDIRQ; owner += EV_HARDIRQ - EV_RX_SOFTIRQ) {
		words[0] = owner | depth << 8;
		sort_raw(&p, &raw, &s);
		CHECK(told_event(&p, &raw, &s) == owner, "%s", event_name(owner));
		CHECK(s.stage == STAGE_INTERRUPT, "%s: %s", event_name(owner), stage_name(s.stage));
		CHECK(s.path_length == (owner == EV_HARDIRQ ? 1 : 3), "%s: %d stages",
		      event_name(owner), s.path_length);
	}
}

/* As many frames as there can be; each of them a root, or none. */
static void test_deepest_stack(void)
{
	static const char *const frames[] = {
		"tcp_ack",   "inet_sendmsg",	      "__netif_receive_skb_core",
		"ip_output", "bpf_trampoline_1[bpf]", "@zero",
		"@high"
	};
	uint64_t addresses[MAX_DEPTH];
	struct sorted s;

	made_up.count = 0;
	for (int i = 0; i < 2; i++) {
		for (unsigned j = 0; j < ARRAY_SIZE(frames); j++) {
			for (int k = 0; k < MAX_DEPTH; k++)
				addresses[k] = made_up_address(frames[k % 2 ? j : 3],
							       strlen(frames[k % 2 ? j : 3]));
			if (!i)
				continue;
			sort_stack(&made_up.symbols, &made_up.rules, addresses, MAX_DEPTH, &s);
			CHECK(s.depth > 0 && s.depth <= MAX_DEPTH && s.path_length > 0 &&
				      s.path_length <= 2 * MAX_DEPTH,
			      "%s: %d frames, %d stages", frames[j], s.depth, s.path_length);
		}
		read_made_up();
	}
}

/* Recorded stacks */

enum {
	RECORDED = 180, /* stacks of a file, at most */
	BEYOND = 3,	/* frames that are kept behind the root: the sorter must leave them out */
};

/* "leaf < ... < root", and with the stages: of a stack that was sorted. */
static const char *describe(const struct symbols *symbols, const struct sorted *s)
{
	static char text[MAX_DEPTH * 600];
	size_t length = 0;

	for (int i = 0; i < s->path_length; i++) {
		length = append(text, sizeof(text), length, i ? " > " : "");
		length = append(text, sizeof(text), length, stage_name(s->path[i]));
	}
	length = append(text, sizeof(text), length, ": ");
	for (int i = 0; i < s->depth; i++) {
		length = append(text, sizeof(text), length, i ? " < " : "");
		length = append(text, sizeof(text), length, name_of(symbols, s->frames[i]));
		if (!s->frames[i]->module)
			continue;
		length = append(text, sizeof(text), length, "[");
		length = append(text, sizeof(text), length, symbols->names + s->frames[i]->module);
		length = append(text, sizeof(text), length, "]");
	}
	return text;
}

static uint64_t parse_address(const char *text, char **end)
{
	uint64_t address = strtoull(text, end, 16);

	return address && *end - text <= 8 ? address | 0xffffffffull << 32 : address;
}

/* The text of a file, 0-terminated, or NULL. */
static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t length, room = 0;

	if (!f)
		return NULL;
	length = getdelim(&text, &room, 0, f) < 0 ? 0 : strlen(text);
	fclose(f);
	return length ? text : NULL;
}

/* The symbols of a recorded file. */
static int read_recorded_symbols(struct symbols *symbols, struct rules *rules, const char *text)
{
	char *lines = malloc(2 * strlen(text)), *to = lines;
	int err;

	for (const char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL) {
		char *rest;
		uint64_t address;

		if (strncmp(line, "s ", 2))
			continue;
		address = parse_address(line + 2, &rest);
		to += sprintf(to, "%016" PRIx64 "%.*s\n", address, (int)strcspn(rest, "\n"), rest);
	}
	err = read_lines(symbols, rules, lines, to - lines);
	free(lines);
	return err;
}

/* What a line of a recorded file says of its stack. */
struct recorded {
	char event[32], root[32], stage[32], activity[32];
	uint64_t addresses[MAX_DEPTH];
	int depth;
};

static bool parse_recorded(const char *line, struct recorded *r)
{
	int at = 0;
	char *end = NULL;

	if (sscanf(line, "k %31s %31s %31s %31s%n", r->event, r->root, r->stage, r->activity,
		   &at) != 4)
		return false;
	r->depth = 0;
	for (line += at; *line == ' ' && r->depth < MAX_DEPTH; line = end)
		r->addresses[r->depth++] = parse_address(line + 1, &end);
	return r->depth && (*line == '\n' || !*line);
}

/* Calls `see` for each stack of the file. Returns how many there are. */
static int for_each_recorded(const char *path,
			     void (*see)(const char *path, const struct recorded *r,
					 const struct symbols *symbols, const struct sorted *s))
{
	static struct symbols symbols;
	static struct rules rules;
	struct recorded r;
	struct sorted sorted;
	char *text = read_text(path);
	int err = text ? read_recorded_symbols(&symbols, &rules, text) : -ENOENT, stacks = 0;

	CHECK(!err, "%s: %s", path, strerror(-err));
	if (err)
		return 0;
	for (const char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL) {
		if (line[0] != 'k')
			continue;
		if (!parse_recorded(line, &r)) {
			CHECK(false, "%s: %.*s", path, (int)strcspn(line, "\n"), line);
			continue;
		}
		sort_stack(&symbols, &rules, r.addresses, r.depth, &sorted);
		see(path, &r, &symbols, &sorted);
		stacks++;
	}
	free(text);
	return stacks;
}

static void check_recorded(const char *path, const struct recorded *r,
			   const struct symbols *symbols, const struct sorted *s)
{
	CHECK(!strcmp(r->root, event_name(s->event)) && !strcmp(r->stage, stage_name(s->stage)) &&
		      !strcmp(r->activity, activity_name(s->activity)),
	      "%s: %s %s %s, not %s %s %s: %s", path, event_name(s->event), stage_name(s->stage),
	      activity_name(s->activity), r->root, r->stage, r->activity, describe(symbols, s));
	CHECK(!strcmp(r->root, r->event) || !strcmp(r->root, "other") || !strcmp(r->root, "-") ||
		      !strcmp(r->root, "tcp_work"), /* which was not traced */
	      "%s: %s was traced: %s", path, r->event, describe(symbols, s));
}

static void test_recorded(void)
{
	glob_t files;

	CHECK(!glob("test/stacks/*.txt", 0, NULL, &files) && files.gl_pathc >= 5,
	      "test/stacks: too few kernels: run test/run --stacks");
	for (size_t i = 0; i < files.gl_pathc; i++) {
		int stacks = for_each_recorded(files.gl_pathv[i], check_recorded);

		CHECK(stacks >= 50, "%s: %d stacks", files.gl_pathv[i], stacks);
	}
	globfree(&files);
}

static void show_recorded(const char *path, const struct recorded *r, const struct symbols *symbols,
			  const struct sorted *s)
{
	bool same = !strcmp(r->root, event_name(s->event)) &&
		    !strcmp(r->stage, stage_name(s->stage)) &&
		    !strcmp(r->activity, activity_name(s->activity));

	(void)path;
	printf("%s %s %s %s\n    %s\n", r->event, r->root, r->stage, r->activity,
	       describe(symbols, s));
	if (!same)
		printf("    now: %s %s %s\n", event_name(s->event), stage_name(s->stage),
		       activity_name(s->activity));
}

/* A stack that was sampled: what the probes and the sorter say of it. */
struct candidate {
	uint64_t hash; /* of the functions */
	uint64_t count;
	uint64_t pairs, activities, paths,
		leaves; /* what tells it from others, ever more closely */
	int event, root, stage, activity;
	int depth;
	uint64_t addresses[MAX_DEPTH];
	bool chosen;
};

static struct candidate *candidates;
static size_t candidate_count, candidate_room;

static uint64_t mix(uint64_t hash, uint64_t more)
{
	hash = (hash ^ more) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

/* As many frames as it takes to be sorted as the whole is, and some more. */
static int needed_depth(struct profile *p, const struct raw *raw, const struct sorted *whole)
{
	static struct sorted part;
	int depth = raw_depth(raw);

	for (int n = 1; n < depth; n++) {
		sort_stack(p->symbols, p->rules, raw->words + 1, n, &part);
		if (part.event == whole->event && part.depth == whole->depth &&
		    part.stage == whole->stage && part.activity == whole->activity &&
		    part.path_length == whole->path_length)
			return n + BEYOND < depth ? n + BEYOND : depth;
	}
	return depth;
}

static bool add_candidate(struct profile *p, const struct stack *stack)
{
	const struct raw *raw = &p->raws[stack->first];
	struct candidate *c;
	struct sorted s;

	if (!grow((void **)&candidates, &candidate_room, candidate_count, sizeof(*c)))
		return false;
	sort_raw(p, raw, &s);
	c = &candidates[candidate_count++];
	*c = (struct candidate) { .hash = stack->hash,
				  .count = stack->count,
				  .event = raw->event,
				  .root = s.event,
				  .stage = s.stage,
				  .activity = s.activity };
	c->depth = needed_depth(p, raw, &s);
	memcpy(c->addresses, raw->words + 1, c->depth * sizeof(uint64_t));
	c->pairs = mix(mix(c->event, c->root), c->stage);
	c->paths = mix(c->event, c->root);
	for (int i = 0; i < s.path_length; i++)
		c->paths = mix(c->paths, s.path[i]);
	c->activities = c->leaves = mix(c->pairs, c->activity);
	for (int i = 0; i < s.depth; i++) {
		c->leaves = mix(c->leaves, s.frames[i]->hash);
		if (s.frames[i]->traits.stage)
			break;
	}
	return true;
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->count != y->count ? (x->count < y->count ? 1 : -1) : x->hash < y->hash ? -1 : 1;
}

/* In the order of the file. */
static int compare_kinds(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->chosen != y->chosen)
		return y->chosen - x->chosen;
	if (x->event != y->event)
		return x->event - y->event;
	if (x->stage != y->stage)
		return x->stage - y->stage;
	return x->activity != y->activity ? x->activity - y->activity : compare_candidates(a, b);
}

/*
 * Chooses the most sampled stack of each event and stage; with the room that is left, of each
 * activity too, then of each way through the stages, then of each leaf. Returns how many.
 */
static size_t choose_candidates(void)
{
	uint64_t seen[RECORDED];
	size_t chosen = 0;

	qsort(candidates, candidate_count, sizeof(*candidates), compare_candidates);
	for (int round = 0; round < 4; round++) {
		size_t seen_count = 0;

		for (int old = 1; old >= 0; old--) { /* what was chosen in earlier rounds first */
			for (size_t i = 0; i < candidate_count; i++) {
				struct candidate *c = &candidates[i];
				const uint64_t keys[] = { c->pairs, c->activities, c->paths,
							  c->leaves };
				size_t j = 0;

				if (c->chosen != old)
					continue;
				while (j < seen_count && seen[j] != keys[round])
					j++;
				if (!old && (j < seen_count || chosen == RECORDED))
					continue;
				if (j == seen_count)
					seen[seen_count++] = keys[round];
				chosen += !old;
				c->chosen = true;
			}
		}
	}
	qsort(candidates, candidate_count, sizeof(*candidates), compare_kinds);
	return chosen;
}

static void print_address(uint64_t address)
{
	printf(address >> 32 == 0xffffffff ? "%08" PRIx64 : "%" PRIx64,
	       address >> 32 == 0xffffffff ? address & 0xffffffff : address);
}

static int compare_addresses(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The addresses of the symbols that the stacks need, sorted. */
static size_t needed_symbols(const struct symbols *s, size_t chosen, uint64_t *needed)
{
	size_t count = 0;

	for (size_t i = 0; i < chosen; i++) {
		for (int j = 0; j < candidates[i].depth; j++) {
			uint64_t address = candidates[i].addresses[j] - (j > 0);
			size_t at = last_symbol(s, address);

			needed[count++] = s->list[at].address;
			if (at + 1 < s->count)
				needed[count++] = s->list[at + 1].address;
		}
	}
	qsort(needed, count, sizeof(*needed), compare_addresses);
	return count;
}

/* True if netto.c has taken the symbol: it does not take those of code that is gone. */
static bool is_taken(const struct symbols *s, uint64_t address, const char *name,
		     const char *module)
{
	const struct symbol *symbol = search_symbol(s, address);

	for (; symbol < s->list + s->count && symbol->address == address; symbol++) {
		const char *taken = name_of(s, symbol);
		size_t length = strlen(taken);

		if (!strncmp(name, taken, length) && (!name[length] || name[length] == '.') &&
		    !strcmp(s->names + symbol->module, module))
			return true;
	}
	return false;
}

static bool is_needed(const uint64_t *needed, size_t count, uint64_t address)
{
	return bsearch(&address, needed, count, sizeof(*needed), compare_addresses);
}

/* The lines of kallsyms for these addresses. To netto.c a function begins with its padding. */
static void print_symbols(const struct symbols *s, int kallsyms, const uint64_t *needed,
			  size_t count)
{
	FILE *f = fdopen(kallsyms, "r");
	char *line = NULL, type, name[512], module[64];
	uint64_t address, padding = 0;
	size_t room = 0;

	rewind(f);
	while (getline(&line, &room, f) > 0) {
		bool take;

		module[0] = 0;
		if (sscanf(line, "%" SCNx64 " %c %511s [%63[^]]", &address, &type, name, module) <
			    3 ||
		    !strchr("tTwW", type))
			continue;
		if (!strncmp(name, "__pfx_", 6) || !strncmp(name, "__cfi_", 6)) {
			take = is_needed(needed, count, address);
			padding = address;
		} else {
			take = (is_needed(needed, count, address) &&
				is_taken(s, address, name, module)) ||
			       (is_needed(needed, count, padding) &&
				is_taken(s, padding, name, module));
		}
		if (!take)
			continue;
		fputs("s ", stdout);
		print_address(address);
		printf(" %c %s%s%s%s\n", type, name, module[0] ? "\t[" : "", module,
		       module[0] ? "]" : "");
	}
	free(line);
	fclose(f);
}

static int print_candidates(const struct profile *p, int kallsyms)
{
	size_t chosen = choose_candidates(), count;
	uint64_t *needed = calloc(2 * chosen * MAX_DEPTH + 1, sizeof(*needed));
	struct utsname uts;

	uname(&uts);
	printf("# Stacks that were sampled on %s %s %s, by test/run --stacks; test/unit.c says how to read them.\n",
	       uts.sysname, uts.release, uts.machine);
	for (size_t i = 0; i < chosen; i++) {
		const struct candidate *c = &candidates[i];

		printf("k %s %s %s %s", event_name(c->event), event_name(c->root),
		       stage_name(c->stage), activity_name(c->activity));
		for (int j = 0; j < c->depth; j++) {
			putchar(' ');
			print_address(c->addresses[j]);
		}
		putchar('\n');
	}
	count = needed_symbols(p->symbols, chosen, needed);
	print_symbols(p->symbols, kallsyms, needed, count);
	free(needed);
	return fflush(stdout) || ferror(stdout);
}

/* A copy of a stack of an interval, added to what was sampled: the same by address is one. */
static bool keep_raw(struct profile *all, const struct raw *raw)
{
	static uint32_t table[1 << 20]; /* by hash: index of raws */
	size_t size = (1 + raw_depth(raw)) * sizeof(uint64_t), at;
	uint64_t hash = raw_owner(raw), *words;

	for (int i = 1; i <= raw_depth(raw); i++)
		hash = mix(hash, raw->words[i]);
	for (at = hash % ARRAY_SIZE(table); table[at]; at = (at + 1) % ARRAY_SIZE(table)) {
		struct raw *known = &all->raws[table[at]];

		if (raw_owner(known) == raw_owner(raw) && raw_depth(known) == raw_depth(raw) &&
		    !memcmp(known->words + 1, raw->words + 1, size - sizeof(uint64_t))) {
			known->count += raw->count;
			return true;
		}
	}
	words = malloc(size);
	if (!words || all->raw_count == ARRAY_SIZE(table) / 2 ||
	    !grow((void **)&all->raws, &all->raw_room, all->raw_count, sizeof(*all->raws)))
		return false;
	memcpy(words, raw->words, size);
	all->raws[all->raw_count] = (struct raw) { .words = words, .count = raw->count };
	table[at] = all->raw_count++;
	return true;
}

/*
 * Measures for some seconds, or until a signal, in intervals, and prints what was sampled. It is
 * sorted at the end, by the symbols that there are then: modules may be loaded meanwhile.
 */
static int record(double seconds)
{
	static struct session s;
	static struct marks marks;
	static struct symbols symbols;
	static struct rules rules;
	static struct profile p, all;
	sigset_t ends = block_signals();
	uint64_t end_ns, now;
	bool ended = false;
	int status;

	all.symbols = &symbols;
	all.rules = &rules;
	opt.seconds = 5;
	opt.count = 0;
	opt.freq = 2999;
	status = start_probes(&s);
	if (status)
		return status;
	if (!s.sampler.hz || !grow((void **)&all.raws, &all.raw_room, 0, sizeof(*all.raws)))
		return EXIT_FAILED;
	all.raw_count = 1;
	end_ns = now_ns(CLOCK_MONOTONIC) + seconds * NSEC_PER_SEC;
	s.skel->bss->window = 1;
	status = read_counters(&s, &marks) || mark_all(&s, &marks);
	fputs("recording\n", stderr);
	for (uint32_t window = 1; !status && !ended; window++) {
		now = now_ns(CLOCK_MONOTONIC) + opt.seconds * NSEC_PER_SEC;
		ended = wait_until(&s, now < end_ns ? now : end_ns, &ends, window) || now >= end_ns;
		s.skel->bss->window = ended ? 0 : window + 1;
		status = read_counters(&s, &marks) || mark_all(&s, &marks) ||
			 !read_tables(&p, &s.sampler, window);
		for (size_t i = 1; !status && i < p.raw_count; i++)
			status = !keep_raw(&all, &p.raws[i]);
	}
	status |= prepare_sorting(all.symbols, all.rules, s.sampler.kallsyms) || !sort_raws(&all);
	for (size_t i = 0; !status && i < all.stack_count; i++)
		status = !add_candidate(&all, &all.stacks[i]);
	fprintf(stderr,
		"%" PRIu64 " samples, %" PRIu64 " lost, %" PRIu64
		" unknown; %zu stacks, %zu by address\n",
		all.samples, p.lost, all.unknown, all.stack_count, all.raw_count - 1);
	if (!status)
		status = print_candidates(&all, s.sampler.kallsyms);
	stop_probes(&s);
	return status;
}

int main(int argc, char **argv)
{
	skel = netto__open();
	if (argc == 3 && !strcmp(argv[1], "record"))
		return record(atof(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "show"))
		return !for_each_recorded(argv[2], show_recorded);
	if (argc > 1) {
		report = stdout;
		opt.tasks = 2;
		opt.csv = !strcmp(argv[1], "csv");
		opt.folded = !strcmp(argv[1], "folded");
		print_report(made_up_result(true), true);
		print_report(made_up_result(false), false);
		print_report(made_up_sampled(), false);
		return print_report(made_up_blind(), false);
	}
	freopen("/dev/null", "w", stderr); /* the messages of bad options */
	test_parse_number();
	test_parse_cpus();
	test_parse_options();
	test_parse_command();
	test_arithmetic();
	test_share_out();
	test_escape_name();
	test_busiest();
	test_plugged();
	test_energy();
	test_rings();
	test_estimate();
	test_sample_period();
	test_size_table();
	test_append();
	test_list_cpus();
	test_find_parents();
	test_symbols();
	test_many_symbols();
	test_tables();
	check_made_up(made_up_cases, ARRAY_SIZE(made_up_cases), true);
	check_made_up(made_up_old_cases, ARRAY_SIZE(made_up_old_cases), false);
	test_top_half();
	test_deepest_stack();
	test_recorded();
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
