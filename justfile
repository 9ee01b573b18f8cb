# Recipes that people and CI share.

default:
    @just --list

# Format, lints and every test, on both databases.
test *args:
    bin/test {{args}}

# Only the lints.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Licences, bans and sources of what we depend on (needs cargo-deny).
deny:
    cargo deny check bans licenses sources

# Lints and links for macOS, from Linux (fetches what it needs, once).
check-macos *args:
    bin/check-macos --link {{args}}

# One fuzz target for some seconds: `just fuzz first_line 60`; without a target it names them.
fuzz *args:
    bin/fuzz {{args}}

# The real agents under the built daemon, against a stand-in of their models (needs npm and python3).
agents *args:
    tests/agents/run {{args}}

# The built package on real systemd in a container (root, Debian; slow).
system *args:
    tests/system/run {{args}}

# The OpenAPI document, and Schemathesis against a running daemon
rest *args:
    tests/rest/run {{args}}

# Exports of a real daemon, the page that plays in headless Chromium.
page *args:
    tests/export/run {{args}}

# Speed and memory, beside floors measured in the same run.
bench *args:
    bin/bench {{args}}

# The official MCP conformance suite (needs npm and socat).
conformance:
    bin/conformance

# Everything CI runs.
ci:
    .ci/run
