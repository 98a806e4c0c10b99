# shellcheck shell=sh
# Records stacks in a virtual machine, for test/stacks: all the loads there are, one after the other, while /unit
# measures. Runs as root in busybox's sh; prints the file, and lines with ## about the recording. A path that a kernel
# lacks is left out.
# shellcheck disable=SC2086 # words
T=/tmp/stacks
mkdir -p $T/lib
. /lib.sh

/unit record >$T/out 2>$T/err &
recorder=$!
until grep -qs '^recording' $T/err || ! kill -0 $recorder; do
	sleep 0.1
done

tc() {
	"$TC" "$@"
}

try() {
	"$@" >>$T/log 2>&1 && return
	echo "$*" >>$T/failed
	return 1
}

plain() {
	for proto in udp4 udp6 tcp4 tcp6; do
		try load write $proto 3000
		try load recvmsg $proto 3000
		try load sendfile $proto 1000
	done
	for load in "udpflood 4 0 1 1200" "udpflood 2 0 0 64" "bigsend 4 0 1 1" "splice_in tcp4 1500" "connect tcp4 600" \
		"connect tcp6 600" "packet_send 1500" "packet_recv 1500" "rawv6_recv 1500" "xsk 500"; do
		try load $load
	done
}

# What is in paths.sh alone; its measuring and checking are left out.
paths() {
	cp /lib.sh /paths.sh $T/lib
	cat >>$T/lib/lib.sh <<-'END'
		begin_session() { : >"$T/csv"; }
		end_session() { :; }
		measure() { "$LOAD" udppath $A $B "$3" 1 0 1 64 >"$T/load" 2>&1; }
		shared_out() { :; }
		check() { :; }
		pass() { :; }
		fail() { :; }
		skip() { echo "$@" >>/tmp/stacks/failed; }
	END
	sh $T/lib/paths.sh paths wireguard flowtable iptables
}

# --- More paths: a - router - b, where the links are virtual ---

address() { # NAMESPACE DEVICE IPV4 IPV6
	ip -n $1 addr add "$3/24" dev "$2"
	ip -n $1 addr add "$4/64" dev "$2" nodad
	ip -n $1 link set "$2" up
}

# All kinds of traffic between a and an address of b.
traffic() { # ADDRESS
	stream "$1" -n 8M -l 8K
	stream "$1" -n 8M -R
	stream "$1" -n 1M -u -b 50M -l 700
	stream "$1" -n 400K -u -b 50M -l 4000 # fragments
	a timeout 2 ping -c 50 -i 0.002 -s 1000 "$1"
	for i in 1 2 3 4 5; do
		a timeout 1 nc "$1" 9 </dev/null # refused
	done
}

stream() { # ADDRESS OPTIONS...
	a timeout 5 iperf3 --connect-timeout 1000 -c "$@"
}

both() { # both versions of IP, through the router
	traffic $ROUTED
	traffic $ROUTED6
}

# The devices a9 and b9, on top of the others: traffic over them, and their end.
ends() {
	address $A a9 10.9.0.1 fd09::1
	address $B b9 10.9.0.2 fd09::2
	traffic 10.9.0.2
	traffic fd09::2
	ip -n $A link del a9
	ip -n $B link del b9
}

tunnel() { # LOCAL REMOTE KIND OPTIONS...: from a; the other way round from b
	local=$1 remote=$2 kind=$3
	shift 3
	try ip -n $A link add a9 type $kind local $local remote $remote "$@" || return
	ip -n $B link add b9 type $kind local $remote remote $local "$@"
	ends
}

tunnels() {
	for kind in ipip gre gretap sit "vxlan id 1 dstport 4789"; do
		tunnel 198.51.100.1 $ROUTED $kind
	done
	for kind in ip6tnl ip6gre; do
		tunnel 2001:db8:a::1 $ROUTED6 $kind
	done
	try ip -n $A link add a9 type geneve id 1 remote $ROUTED &&
		ip -n $B link add b9 type geneve id 1 remote 198.51.100.1 && ends
}

# Two links between a and b, as a bond is made of; macvlan and so on, on one of them.
devices() {
	ip link add a2 netns $A type veth peer name b2 netns $B
	for mode in balance-rr active-backup; do
		try ip -n $A link add a9 type bond mode $mode || continue
		ip -n $B link add b9 type bond mode $mode
		for port in "$A a" "$B b"; do
			set -- $port
			for i in 1 2; do
				ip -n $1 link set $2$i down
				ip -n $1 link set $2$i master ${2}9
			done
		done
		ends
	done
	for i in 1 2; do
		ip -n $A link set a$i up
		ip -n $B link set b$i up
	done
	for kind in "macvlan mode bridge" "macvlan mode vepa" "ipvlan mode l2" "ipvlan mode l3" "vlan id 7" \
		"vlan id 8 proto 802.1ad" "macsec"; do
		try ip -n $A link add link a1 name a9 type $kind || continue
		ip -n $B link add link b1 name b9 type $kind
		ends
	done
	ip -n $A link del a1
	ip -n $A link del a2
}

# A chain of nft: its rules have ';' between them.
chain() { # NAMESPACE FAMILY TABLE HOOK RULES [DEVICE]
	try ip netns exec $1 nft "table $2 $3 { chain $4 { type filter hook $4 ${6:+device $6} priority 0; $5; }; }"
}

iptables_rules() { # iptables|ip6tables TABLE [RULE]...: instead of those that the table has
	program=$1-legacy-restore table=$2
	shift 2
	printf '%s\n' "*$table" "$@" COMMIT >$T/rules
	try router $program $T/rules
}

hooks() {
	try router nft "table inet stack { set ports { type inet_service; flags interval; elements = { 1-3, 7-8 }; }; }" &&
		chain $R inet stack prerouting "udp dport @ports drop; counter" &&
		chain $R inet stack forward "ct state established,related counter accept" &&
		chain $R inet stack postrouting "meta l4proto udp limit rate 10000/second counter" &&
		chain $R netdev stack ingress "ip protocol icmp counter" ra && both
	chain $R netdev egress egress "counter; ip saddr 1.2.3.4 drop" rb && both # from 5.16
	chain $R inet refuse forward "tcp dport 1-100 reject with tcp reset; udp dport 1-100 reject" && both
	router nft flush ruleset
	for ns in $A $B; do
		chain $ns inet stack input "ct state invalid drop; tcp dport { 1, 2 } drop; counter"
		chain $ns inet stack output counter
		try ip netns exec $ns nft -f - <<-END
			table ip nat {
				chain prerouting { type nat hook prerouting priority -100; tcp dport 5555 dnat to $ROUTED:5201; }
				chain postrouting { type nat hook postrouting priority 100; oifname "a0" masquerade; }
			}
		END
	done
	both
	a nft flush ruleset
	b nft flush ruleset
	for version in iptables ip6tables; do
		iptables_rules $version filter "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT" \
			"$(seq 20 | sed 's/.*/-A FORWARD -p udp -m multiport --dports 1,2,3 -j DROP/')"
	done
	iptables_rules iptables nat "-A POSTROUTING -o rb -j MASQUERADE"
	both
	iptables_rules iptables filter
	iptables_rules ip6tables filter
	iptables_rules iptables nat
}

bridges() {
	try ip -n $R link add br0 type bridge || return
	ip -n $R link set ra master br0
	ip -n $R link set rb master br0
	ip -n $R link set br0 up
	address $A a0 10.3.0.1 fd03::1
	address $B b0 10.3.0.2 fd03::2
	traffic 10.3.0.2
	chain $R bridge stack prerouting "ether type vlan drop; counter" &&
		chain $R bridge stack forward "ct state established counter" && traffic 10.3.0.2
	router nft flush ruleset
	try router modprobe br_netfilter && {
		netfilter_of_bridges 1
		chain $R inet stack forward "ct state established counter"
		traffic 10.3.0.2
		traffic fd03::2
		router nft flush ruleset
		netfilter_of_bridges 0
	}
	# a bridge with an end of a tunnel: what it forwards is encapsulated, and decapsulated in b
	ip -n $R link set rb nomaster
	try ip -n $R link add vx0 type vxlan id 3 local 203.0.113.254 remote $ROUTED dstport 4789 && {
		ip -n $B link add vx0 type vxlan id 3 local $ROUTED remote 203.0.113.254 dstport 4789
		ip -n $R link set vx0 master br0 up
		ip -n $B addr del 10.3.0.2/24 dev b0
		ip -n $B addr add 10.3.0.2/24 dev vx0
		ip -n $B link set vx0 up
		traffic 10.3.0.2
		ip -n $R link del vx0
		ip -n $B link del vx0
	}
	ip -n $R link set ra nomaster
	ip -n $R link del br0
	address $R ra 198.51.100.254 2001:db8:a::ff # those of IPv6 went when it became a port
	address $R rb 203.0.113.254 2001:db8:b::ff
}

netfilter_of_bridges() { # 0|1
	router sh -c "for family in ip ip6; do echo $1 >/proc/sys/net/bridge/bridge-nf-call-\${family}tables; done"
}

queues() {
	for kind in fq_codel fq "tbf rate 50mbit burst 64kb latency 50ms" cake "htb default 1" prio "netem loss 2%" \
		"netem delay 1ms reorder 20%"; do
		try tc -n $R qdisc add dev rb root handle 1: $kind || continue
		[ "${kind%% *}" != htb ] || tc -n $R class add dev rb parent 1: classid 1:1 htb rate 50mbit
		stream $ROUTED -n 4M
		stream $ROUTED6 -n 1M -u -b 20M -l 700
		tc -n $R qdisc del dev rb root
	done
	try tc -n $R qdisc add dev ra clsact && tc -n $R qdisc add dev rb clsact && {
		tc -n $R filter add dev ra ingress protocol ip prio 1 flower ip_proto udp action pass
		tc -n $R filter add dev ra ingress prio 2 u32 match u32 0 0 action pass
		tc -n $R filter add dev rb egress protocol ip prio 1 flower ip_proto tcp action pass
		tc -n $R filter add dev rb egress prio 2 matchall action pass
		both
		tc -n $R filter del dev ra ingress
		tc -n $R filter add dev ra ingress prio 1 matchall action mirred egress redirect dev rb
		stream $ROUTED -n 1M -u -b 50M
		tc -n $R qdisc del dev ra clsact
		tc -n $R qdisc del dev rb clsact
	}
}

ipsec() { # transport|tunnel
	for ns in $A $B; do
		for way in "198.51.100.1 $ROUTED 1" "$ROUTED 198.51.100.1 2"; do
			set -- "$1" $way
			try ip -n $ns xfrm state add src $2 dst $3 proto esp spi $4 mode $1 aead 'rfc4106(gcm(aes))' \
				0x0123456789abcdef0123456789abcdef01234567 128 || return
			direction=in
			[ "$ns $4" != "$A 1" ] && [ "$ns $4" != "$B 2" ] || direction=out
			ip -n $ns xfrm policy add src $2 dst $3 dir $direction tmpl src $2 dst $3 proto esp mode $1
		done
	done
	traffic $ROUTED
	for ns in $A $B; do
		ip -n $ns xfrm state flush
		ip -n $ns xfrm policy flush
	done
}

# A driver's poll, GRO and the lists that come of it: veth has them with a program of XDP. Last, and left attached: when
# the stacks are sorted, the programs must still be there.
xdp() {
	router sh -c 'echo 3 >/sys/class/net/ra/queues/rx-0/rps_cpus'
	both
	router sh -c 'echo 0 >/sys/class/net/ra/queues/rx-0/rps_cpus'
	try ip -n $B link set b0 xdpgeneric obj /xdp.o sec xdp && both
	try ip -n $R link set ra xdpdrv obj /xdp.o sec xdp || return
	ip -n $R link set rb xdpdrv obj /xdp.o sec xdp
	ip -n $A link set a0 xdpdrv obj /xdp.o sec xdp
	both
	chain $R inet stack prerouting "ct state established counter" && both
	router sh -c 'for f in /sys/class/net/r?/threaded; do echo 1 >$f; done'
	both
}

plain
paths >>$T/log 2>&1
{
	net_up
	router_up
	b iperf3 -sD
	sleep 1
	both
	hooks
	queues
	bridges
	tunnels
	devices
	ipsec transport
	ipsec tunnel
	xdp
} >>$T/log 2>&1

kill -INT $recorder
wait $recorder
status=$?
cat $T/out
sed 's/^/## /' $T/err
sed 's/^/## without /' $T/failed
[ -z "$DEBUG" ] || sed 's/^/## log: /' $T/log
exit $status
