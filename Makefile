# `make demo` shows Samovar at work; `make test` runs every test. Both install what they need.

CARGO ?= cargo

.PHONY: demo test guests examples wasm-target languages bench bench-quick

# Builds, starts a node, builds and deploys examples, calls them, and stays up until Ctrl-C.
# `make demo ONCE=1` ends by itself, with exit code 0 only if all of it worked.
demo: wasm-target
	$(CARGO) build --release -p samovar-cli
	ONCE=$(ONCE) scripts/demo

# Every test of the workspace, with the guests they run.
test: wasm-target guests examples languages
	scripts/nextest run --workspace
	$(CARGO) test --workspace --doc
	cd examples && $(CARGO) test --release --quiet

# The target that functions are compiled for.
wasm-target:
	@scripts/wasm-target

# The tests' own guests: one for each behaviour.
guests: wasm-target
	cd tests/guests && $(CARGO) build --release --target wasm32-wasip2

# The examples that are written in Rust.
examples: wasm-target
	cd examples && $(CARGO) build --release --target wasm32-wasip2

# The examples in JavaScript and Python, with their own tools.
languages:
	scripts/languages

# CPU time per request beside bare hyper, in one run, in under two minutes (after the build).
bench-quick: guests
	cd examples && $(CARGO) build --release --target wasm32-wasip2 -p hello
	$(CARGO) build --profile dist -p samovar-cli -p samovar-benches
	scripts/bench-quick

# The micro-benchmarks.
bench: bench-quick
	$(CARGO) bench -p samovar-benches
