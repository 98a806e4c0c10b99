// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of netto.c, which is included whole: parsing, arithmetic, printers. No root, no eBPF.
 * With an argument (table, csv) it prints that report of a made-up result, for the golden files.
 */
#define main netto_main
#include "../netto.c"
#undef main

static int passed, failed;

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

static void test_last_cpu(void)
{
	static const struct {
		const char *list;
		int last;
	} cases[] = {
		{ "0\n", 0 },	      { "0-3\n", 3 }, { "1,3\n", 3 }, { "0-1,4-5,7", 7 },
		{ "0,2-127\n", 127 }, { "\n", -1 },   { "", -1 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(last_cpu(cases[i].list) == cases[i].last, "'%s' gives %d", cases[i].list,
		      last_cpu(cases[i].list));
}

static int parse(const char *line)
{
	static char copy[256];
	char *argv[16] = { "netto" };
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	opt = (typeof(opt)) { .seconds = 10, .count = 1 };
	optind = 0;
	return parse_options(argc, argv);
}

static void test_parse_options(void)
{
	static const struct {
		const char *line;
		int status; /* -1: go on */
		double seconds;
		long count;
		bool csv, verbose;
	} cases[] = {
		{ "", -1, 10, 1, false, false },
		{ "5", -1, 5, 1, false, false },
		{ "0.25 4", -1, 0.25, 4, false, false },
		{ "-c 1 0", -1, 1, 0, true, false },
		{ "1 3 -cv", -1, 1, 3, true, true },
		{ "--csv --verbose", -1, 10, 1, true, true },
		{ "-x", EXIT_USAGE, 0, 0, false, false },
		{ "--nope", EXIT_USAGE, 0, 0, false, false },
		{ "0", EXIT_USAGE, 0, 0, false, false },
		{ "-- -1", EXIT_USAGE, 0, 0, false, false },
		{ "1 -5", EXIT_USAGE, 0, 0, false, false },
		{ "1 2 3", EXIT_USAGE, 0, 0, false, false },
		{ "1 1.5", EXIT_USAGE, 0, 0, false, false },
		{ "ten", EXIT_USAGE, 0, 0, false, false },
		{ "99999999", EXIT_USAGE, 0, 0, false, false },
		{ "--csv=yes", EXIT_USAGE, 0, 0, false, false },
		/* options of later issues are not taken yet */
		{ "-f", EXIT_USAGE, 0, 0, false, false },
		{ "-F 997", EXIT_USAGE, 0, 0, false, false },
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
	}
}

/* Two marks of three CPUs: 0 busy, 1 plugged in meanwhile, 3 with a residual; 2 is a hole. */
static const struct result *made_up_result(bool operations)
{
	static const char *const names[EV_MAX] = { "",	   "rx_softirq", "tx_softirq", "recv",
						   "send", "conn",	 "other",      "idle" };
	static struct marks a, b;
	static struct result r;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&r, 0, sizeof(r));
	a.cpu[0] =
		(struct times) { .wall_ns = 5000, .ns = { [EV_OTHER] = 4000, [EV_IDLE] = 1000 } };
	b.cpu[0] = (struct times) { .wall_ns = 10000005000,
				    .ns = { 0, 1420000000, 10000000, 300000000, 550000000, 0,
					    870004000, 6850001000 },
				    .count = { 0, 70001, 11, 20011, 30011, 2, 0, 90001 },
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
	for (int e = EV_NONE + 1; e < EV_MAX; e++) {
		r.events[e].name = names[e];
		r.events[e].net = e < EV_OTHER;
		r.events[e].measured = operations || e <= EV_TX_SOFTIRQ || e >= EV_OTHER;
		strcpy(r.events[e].hook,
		       r.events[e].measured ? "fentry:inet_one+inet_two" : "none:");
	}
	strcpy(r.host.nodename, operations ? "edge-1" : "a \"b\",c");
	strcpy(r.host.sysname, "Linux");
	strcpy(r.host.release, "6.12.107");
	strcpy(r.host.machine, "x86_64");
	subtract_marks(&b, &a, &r);
	return &r;
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

int main(int argc, char **argv)
{
	if (argc > 1) {
		opt.csv = !strcmp(argv[1], "csv");
		print_report(made_up_result(true), true);
		return print_report(made_up_result(false), false);
	}
	freopen("/dev/null", "w", stderr); /* the messages of bad options */
	test_parse_number();
	test_last_cpu();
	test_parse_options();
	test_arithmetic();
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
