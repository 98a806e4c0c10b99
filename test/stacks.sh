# shellcheck shell=sh
# Records stacks in a virtual machine, for test/stacks: all the loads there are, one after the other, while /unit
# measures. Runs as root in busybox's sh; prints the file, and lines with ## about the recording. A path that a kernel
# lacks is left out.
T=/tmp/stacks
mkdir -p $T/lib

/unit record 3600 >$T/out 2>$T/err &
recorder=$!
until grep -qs '^recording' $T/err || ! kill -0 $recorder; do
	sleep 0.1
done

# Not the shell's own, which busybox's prefers.
IP=$(which ip) TC=$(which tc)

ip() {
	"$IP" "$@"
}

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
	try load udpflood 4 0 1 1200
	try load udpflood 2 0 0 64
	try load bigsend 4 0 1 1
	try load splice_in tcp4 1500
	try load connect tcp4 600
	try load connect tcp6 600
	try load packet_send 1500
	try load packet_recv 1500
	try load rawv6_recv 1500
	try load xsk 500
}

# What is in paths.sh alone; its measuring and checking are left out.
paths() {
	cp /lib.sh /paths.sh $T/lib
	cat >>$T/lib/lib.sh <<-'END'
		begin_session() { : >"$T/csv"; }
		end_session() { :; }
		measure() { "$LOAD" udppath $A $B "$2" 1 0 1 64 >"$T/load" 2>&1; }
		shared_out() { :; }
		check() { :; }
		pass() { :; }
		fail() { :; }
		skip() { echo "$@" >>/tmp/stacks/failed; }
	END
	sh $T/lib/paths.sh paths wireguard flowtable iptables
}

# --- more paths: a - router - b, where the links are virtual ------------------------------------

a() {
	ip netns exec stack-a "$@"
}

r() {
	ip netns exec stack-r "$@"
}

b() {
	ip netns exec stack-b "$@"
}

net_up() {
	for ns in a r b; do
		ip netns add stack-$ns || return
		ip -n stack-$ns link set lo up
	done
	ip link add a0 netns stack-a type veth peer name ra netns stack-r
	ip link add b0 netns stack-b type veth peer name rb netns stack-r
	address a a0 10.1.0.1 fd01::1
	address r ra 10.1.0.2 fd01::2
	address r rb 10.2.0.2 fd02::2
	address b b0 10.2.0.1 fd02::1
	for v in 4 6; do
		p=fd0
		[ $v = 6 ] || p=10.
		ip -$v -n stack-a route add default via "${p}1$(rest $v)2"
		ip -$v -n stack-b route add default via "${p}2$(rest $v)2"
	done
	r sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
}

rest() {
	case $1 in
	4) echo .0. ;;
	6) echo :: ;;
	esac
}

address() { # NAMESPACE DEVICE IPV4 IPV6
	ip -n "stack-$1" addr add "$3/24" dev "$2"
	ip -n "stack-$1" addr add "$4/64" dev "$2" nodad
	ip -n "stack-$1" link set "$2" up
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
	traffic 10.2.0.1
	traffic fd02::1
}

# A device on top of the others, of the kind: its own address, on both ends.
ends() { # IPV4 IPV6, without the last number
	address a a9 "$1.1" "$2::1"
	address b b9 "$1.2" "$2::2"
	traffic "$1.2"
	traffic "$2::2"
	ip -n stack-a link del a9
	ip -n stack-b link del b9
}

tunnel() { # KIND OPTIONS...
	kind=$1
	shift
	try ip -n stack-a link add a9 type "$kind" local 10.1.0.1 remote 10.2.0.1 "$@" || return
	ip -n stack-b link add b9 type "$kind" local 10.2.0.1 remote 10.1.0.1 "$@"
	ends 10.9.0 fd09
}

tunnel6() { # KIND OPTIONS...
	kind=$1
	shift
	try ip -n stack-a link add a9 type "$kind" local fd01::1 remote fd02::1 "$@" || return
	ip -n stack-b link add b9 type "$kind" local fd02::1 remote fd01::1 "$@"
	ends 10.9.0 fd09
}

tunnels() {
	tunnel ipip
	tunnel gre
	tunnel gretap
	tunnel sit
	tunnel vxlan id 1 dstport 4789
	tunnel6 ip6tnl
	tunnel6 ip6gre
	try ip -n stack-a link add a9 type geneve id 1 remote 10.2.0.1 &&
		ip -n stack-b link add b9 type geneve id 1 remote 10.1.0.1 && ends 10.9.0 fd09
}

# Two links between a and b, as a bond and a team are made of; macvlan and ipvlan on one of them.
devices() {
	for i in 1 2; do
		ip link add a$i netns stack-a type veth peer name b$i netns stack-b
	done
	try ip -n stack-a link add a9 type bond mode balance-rr &&
		ip -n stack-b link add b9 type bond mode balance-rr && slaves && ends 10.9.0 fd09
	try ip -n stack-a link add a9 type bond mode active-backup &&
		ip -n stack-b link add b9 type bond mode active-backup && slaves && ends 10.9.0 fd09
	for i in 1 2; do
		ip -n stack-a link set a$i up
		ip -n stack-b link set b$i up
	done
	for kind in "macvlan mode bridge" "macvlan mode vepa" "ipvlan mode l2" "ipvlan mode l3" "vlan id 7" \
		"vlan id 8 proto 802.1ad" "macsec"; do
		# shellcheck disable=SC2086 # words
		try ip -n stack-a link add link a1 name a9 type $kind || continue
		# shellcheck disable=SC2086 # words
		ip -n stack-b link add link b1 name b9 type $kind
		ends 10.9.0 fd09
	done
	ip -n stack-a link del a1
	ip -n stack-a link del a2
}

slaves() {
	for i in 1 2; do
		ip -n stack-a link set a$i down
		ip -n stack-b link set b$i down
		ip -n stack-a link set a$i master a9
		ip -n stack-b link set b$i master b9
	done
}

hooks() {
	try r nft -f - <<-END && both
		table inet stack {
			set ports { type inet_service; flags interval; elements = { 1-3, 7-8 }; }
			chain prerouting { type filter hook prerouting priority 0; udp dport @ports drop; counter; }
			chain forward { type filter hook forward priority 0; ct state established,related counter accept; }
			chain postrouting { type filter hook postrouting priority 0; meta l4proto udp limit rate 10000/second counter; }
		}
		table netdev stack {
			chain ingress { type filter hook ingress device "ra" priority 0; ip protocol icmp counter; }
		}
	END
	try r nft -f - <<-END && both # from 5.16
		table netdev egress {
			chain egress { type filter hook egress device "rb" priority 0; counter; ip saddr 1.2.3.4 drop; }
		}
	END
	try r nft -f - <<-END && both
		table inet reject {
			chain forward { type filter hook forward priority 0; tcp dport 1-100 reject with tcp reset; udp dport 1-100 reject; }
		}
	END
	r nft flush ruleset
	for ns in a b; do
		try ip netns exec stack-$ns nft -f - <<-END
			table inet stack {
				chain input { type filter hook input priority 0; ct state invalid drop; tcp dport { 1, 2 } drop; counter; }
				chain output { type filter hook output priority 0; counter; }
			}
			table ip nat {
				chain prerouting { type nat hook prerouting priority -100; tcp dport 5555 dnat to 10.2.0.1:5201; }
				chain postrouting { type nat hook postrouting priority 100; oifname "a0" masquerade; }
			}
		END
	done
	both
	a nft flush ruleset
	b nft flush ruleset
	for iptables in iptables-legacy-restore ip6tables-legacy-restore; do
		{
			printf '%s\n' "*filter" "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
			seq 20 | sed 's/.*/-A FORWARD -p udp -m multiport --dports 1,2,3 -j DROP/'
			echo COMMIT
		} >$T/rules
		try r $iptables $T/rules
	done
	printf '%s\n' "*nat" "-A POSTROUTING -o rb -j MASQUERADE" COMMIT >$T/rules
	try r iptables-legacy-restore $T/rules
	both
	for iptables in iptables-legacy-restore ip6tables-legacy-restore; do
		printf '%s\n' "*filter" COMMIT >$T/rules
		r $iptables $T/rules
	done
	printf '%s\n' "*nat" COMMIT >$T/rules
	r iptables-legacy-restore $T/rules
}

bridges() {
	try ip -n stack-r link add br0 type bridge || return
	for d in ra rb; do
		ip -n stack-r link set $d master br0
	done
	ip -n stack-r link set br0 up
	ip -n stack-a addr add 10.3.0.1/24 dev a0
	ip -n stack-b addr add 10.3.0.2/24 dev b0
	ip -n stack-a addr add fd03::1/64 dev a0 nodad
	ip -n stack-b addr add fd03::2/64 dev b0 nodad
	traffic 10.3.0.2
	try r nft -f - <<-END && traffic 10.3.0.2
		table bridge stack {
			chain prerouting { type filter hook prerouting priority 0; ether type vlan drop; counter; }
			chain forward { type filter hook forward priority 0; ct state established counter; }
		}
	END
	r nft flush ruleset
	try r modprobe br_netfilter && {
		r sh -c 'echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables'
		r sh -c 'echo 1 >/proc/sys/net/bridge/bridge-nf-call-ip6tables'
		r nft -f - <<-END
			table inet stack {
				chain forward { type filter hook forward priority 0; ct state established counter; }
			}
		END
		traffic 10.3.0.2
		traffic fd03::2
		r nft flush ruleset
		r sh -c 'echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables'
		r sh -c 'echo 0 >/proc/sys/net/bridge/bridge-nf-call-ip6tables'
	}
	# a bridge with an end of a tunnel: what it forwards is encapsulated, and decapsulated in b
	ip -n stack-r link set rb nomaster
	try ip -n stack-r link add vx0 type vxlan id 3 local 10.2.0.2 remote 10.2.0.1 dstport 4789 && {
		ip -n stack-b link add vx0 type vxlan id 3 local 10.2.0.1 remote 10.2.0.2 dstport 4789
		ip -n stack-r link set vx0 master br0 up
		ip -n stack-b addr del 10.3.0.2/24 dev b0
		ip -n stack-b addr add 10.3.0.2/24 dev vx0
		ip -n stack-b link set vx0 up
		traffic 10.3.0.2
		ip -n stack-r link del vx0
		ip -n stack-b link del vx0
	}
	ip -n stack-r link set ra nomaster
	ip -n stack-r link del br0
	address r ra 10.1.0.2 fd01::2 # those of IPv6 went when it became a port
	address r rb 10.2.0.2 fd02::2
}

queues() {
	for kind in fq_codel fq "tbf rate 50mbit burst 64kb latency 50ms" cake "htb default 1" prio "netem loss 2%" \
		"netem delay 1ms reorder 20%"; do
		# shellcheck disable=SC2086 # words
		try tc -n stack-r qdisc add dev rb root handle 1: $kind || continue
		[ "${kind%% *}" != htb ] || tc -n stack-r class add dev rb parent 1: classid 1:1 htb rate 50mbit
		stream 10.2.0.1 -n 4M
		stream fd02::1 -n 1M -u -b 20M -l 700
		tc -n stack-r qdisc del dev rb root
	done
	try tc -n stack-r qdisc add dev ra clsact && tc -n stack-r qdisc add dev rb clsact && {
		tc -n stack-r filter add dev ra ingress protocol ip prio 1 flower ip_proto udp action pass
		tc -n stack-r filter add dev ra ingress prio 2 u32 match u32 0 0 action pass
		tc -n stack-r filter add dev rb egress protocol ip prio 1 flower ip_proto tcp action pass
		tc -n stack-r filter add dev rb egress prio 2 matchall action pass
		both
		tc -n stack-r filter del dev ra ingress
		tc -n stack-r filter add dev ra ingress prio 1 matchall action mirred egress redirect dev rb
		stream 10.2.0.1 -n 1M -u -b 50M
		tc -n stack-r qdisc del dev ra clsact
		tc -n stack-r qdisc del dev rb clsact
	}
}

policy() { # NAMESPACE DIRECTION FROM TO MODE
	ip -n "stack-$1" xfrm policy add src "$3" dst "$4" dir "$2" tmpl src "$3" dst "$4" proto esp mode "$5"
}

ipsec() { # transport|tunnel
	key=0x0123456789abcdef0123456789abcdef01234567
	for ns in a b; do
		try ip -n stack-$ns xfrm state add src 10.1.0.1 dst 10.2.0.1 proto esp spi 1 mode "$1" aead 'rfc4106(gcm(aes))' \
			$key 128 || return
		ip -n stack-$ns xfrm state add src 10.2.0.1 dst 10.1.0.1 proto esp spi 2 mode "$1" aead 'rfc4106(gcm(aes))' \
			$key 128
	done
	policy a out 10.1.0.1 10.2.0.1 "$1"
	policy a in 10.2.0.1 10.1.0.1 "$1"
	policy b out 10.2.0.1 10.1.0.1 "$1"
	policy b in 10.1.0.1 10.2.0.1 "$1"
	traffic 10.2.0.1
	for ns in a b; do
		ip -n stack-$ns xfrm state flush
		ip -n stack-$ns xfrm policy flush
	done
}

# A driver's poll, GRO and the lists that come of it: veth has them with a program of XDP. Last, and left attached: when
# the stacks are sorted, the programs must still be there.
xdp() {
	r sh -c 'echo 3 >/sys/class/net/ra/queues/rx-0/rps_cpus'
	both
	r sh -c 'echo 0 >/sys/class/net/ra/queues/rx-0/rps_cpus'
	try ip -n stack-b link set b0 xdpgeneric obj /xdp.o sec xdp && both
	try ip -n stack-r link set ra xdpdrv obj /xdp.o sec xdp || return
	ip -n stack-r link set rb xdpdrv obj /xdp.o sec xdp
	ip -n stack-a link set a0 xdpdrv obj /xdp.o sec xdp
	both
	r nft -f - <<-END && both
		table inet stack {
			chain prerouting { type filter hook prerouting priority 0; ct state established counter; }
		}
	END
	r sh -c 'for f in /sys/class/net/r?/threaded; do echo 1 >$f; done'
	both
}

plain
paths >>$T/log 2>&1
{
	net_up
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
