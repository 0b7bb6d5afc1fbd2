# `make demo` shows Samovar at work; `make test` runs every test. Both install what they need.

CARGO ?= cargo

.PHONY: demo demo-cluster test jobs nats-server redis-server guests examples wasm-target languages instructions bench bench-quick bench-docs bench-density bench-micro bench-build sim failures chaos cluster-build check-deploy

# Builds, starts a node, builds and deploys examples, calls them, and stays up until Ctrl-C.
# `make demo ONCE=1` ends by itself, with exit code 0 only if all of it worked.
demo: wasm-target
	$(CARGO) build --release -p samovar-cli
	ONCE=$(ONCE) scripts/demo

# The same for a cluster on this machine: three hosts, two gateways, and one of the hosts killed while it is called.
demo-cluster: wasm-target nats-server
	$(CARGO) build --release -p samovar-cli
	ONCE=$(ONCE) scripts/demo-cluster

# Every test of the workspace, with the guests they run.
test: wasm-target nats-server redis-server guests examples languages
	scripts/nextest run --workspace
	$(CARGO) test --workspace --doc
	$(CARGO) test -p samovar-sdk --features axum,session --lib --test handlers --test reach --test sessions
	cd examples && $(CARGO) test --release --quiet

# 10,000 asynchronous invocations of the release binary with kill -9 in between, on one machine and in a cluster: none lost, and how
# many were run twice.
jobs: guests nats-server
	$(CARGO) build --release -p samovar-cli
	SAMOVAR_BIN=$(CURDIR)/target/release/samovar JOBS=10000 scripts/nextest run -p samovar-tests --no-capture -E 'test(/^jobs::kill_9/)'

# The target that functions are compiled for.
wasm-target:
	@scripts/wasm-target

# The tests' own guests: one for each behaviour.
guests: wasm-target
	cd tests/guests && $(CARGO) build --release --target wasm32-wasip2

# The examples that are written in Rust.
examples: wasm-target
	cd examples && $(CARGO) build --release --target wasm32-wasip2

# The servers that the tests of `cluster` start.
nats-server:
	scripts/nats-server

redis-server:
	scripts/redis-server

# The examples in JavaScript and Python, with their own tools.
languages:
	scripts/languages

# Instructions of one warm call, against the ceilings in benches/instructions.txt.
instructions: wasm-target
	cd examples && $(CARGO) build --release --target wasm32-wasip2 -p hello
	cd benches/guests && $(CARGO) build --release --target wasm32-wasip2
	$(CARGO) build --release -p samovar-cli -p samovar-benches --bin samovar --bin warm_dispatch
	scripts/instructions

# CPU time per request beside bare hyper, in one run, in under two minutes (after the build).
bench-quick: bench-build
	scripts/bench-quick

# The comparison with other servers, into target/bench; BENCH_CASES, BENCH_SECONDS and BENCH_ROUNDS make it do less.
# `make bench-docs` puts what it found into docs/benchmarks.md.
bench: bench-build languages
	scripts/bench-peers
	scripts/bench

bench-docs: bench-build
	BENCH_BIN=target/dist target/release/compare docs

# Memory: 10,000 live instances, 10,000 functions, and more wanted than there is; in about three minutes (after the build).
bench-density: bench-build guests examples
	BENCH_BIN=target/dist target/release/density

# The micro-benchmarks.
bench-micro: bench-build
	$(CARGO) bench -p samovar-benches -p samovar-sim

# The choice of a host, simulated for every policy, into docs/cluster-simulation.md; in a few minutes.
sim:
	$(CARGO) run --release -p samovar-sim --bin simulate -- docs/cluster-simulation.md

# What is in deploy/, with the linters that can be had here.
check-deploy: nats-server
	scripts/check-deploy

# What is measured, in the profile that is shipped; and what measures, in one that builds quickly.
bench-build: wasm-target
	cd examples && $(CARGO) build --release --target wasm32-wasip2 -p hello
	cd examples && $(CARGO) build --release --target wasm32-wasip2 -p hello --features wasip3 --target-dir target/wasip3
	cd benches/guests && $(CARGO) build --release --target wasm32-wasip2
	cd tests/guests && $(CARGO) build --release --target wasm32-wasip2 -p guests-wasi02 --bin echo
	$(CARGO) build --profile dist -p samovar-cli -p samovar-benches --bin samovar --bin yardstick
	$(CARGO) build --release -p samovar-cli -p samovar-benches --bins

# Each failure of docs/cluster-failures.md, on clusters of the release binary under load; writes that page, in some ten
# minutes. FAILURES names some (host-killed nats-away) to be tried alone. Partitions and a full disk need root.
failures: cluster-build
	target/release/failures docs/cluster-failures.md $(FAILURES)

# Random failures in one long run, with deploys and calls all the while: CHAOS_SEED chooses which, CHAOS_FAILURES how many.
chaos: cluster-build
	CHAOS_SEED=$(CHAOS_SEED) CHAOS_FAILURES=$(CHAOS_FAILURES) target/release/chaos

cluster-build: wasm-target nats-server guests
	$(CARGO) build --release -p samovar-cli -p samovar-tests --bins
