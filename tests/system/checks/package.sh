# shellcheck shell=bash
# The packages themselves: what is in them, with which modes, and what the tools of their formats say. Sets nothing up.

group_package() {
    local info list name rpm
    info=$(dpkg-deb --info "$new_deb")
    list=$(dpkg-deb --contents "$new_deb")
    holds "the deb says which C library it needs" '^ Depends: libc6 \(>= 2\.[0-9]+\), ' "$info"
    holds "it recommends git" '^ Recommends: git$' "$info"
    for name in postinst prerm postrm; do
        holds "it has a $name" "^ .*[0-9]+ bytes.* $name " "$info"
    done
    same "config and secrets are conffiles" "/etc/teleclaude/config.yml /etc/teleclaude/secrets.yml" \
        "$(dpkg-deb --info "$new_deb" conffiles | tr '\n' ' ' | sed 's/ $//')"
    lacks "everything in it is root's" '^[^ ]+ (root/[^r]|[^r])' "$list"
    lacks "nothing in it may be written by others or is set-uid" '^(-.......w|d.......w|...[sS]|......[sS])' "$list"
    holds "the secrets are for root alone" '^-rw------- root/root .* \./etc/teleclaude/secrets\.yml$' "$list"
    holds "the config may be read" '^-rw-r--r-- root/root .* \./etc/teleclaude/config\.yml$' "$list"
    for name in usr/bin/teleclaude usr/bin/teleclaude-runner; do
        holds "/$name is in it" "^-rwxr-xr-x root/root .* \./$name\$" "$list"
    done
    for name in lib/systemd/system/teleclaude.service lib/systemd/system/teleclaude.socket \
        lib/systemd/system/teleclaude-runner.socket lib/systemd/system/teleclaude-runner@.service \
        usr/lib/sysusers.d/teleclaude.conf usr/lib/tmpfiles.d/teleclaude.conf usr/share/man/man1/teleclaude.1.gz \
        usr/share/bash-completion/completions/teleclaude usr/share/zsh/vendor-completions/_teleclaude \
        usr/share/fish/vendor_completions.d/teleclaude.fish usr/share/doc/teleclaude/copyright \
        usr/share/teleclaude/gemini.json; do
        holds "/$name is in it" "^-rw-r--r-- root/root .* \./${name//./\\.}\$" "$list"
    done

    check "the same tree gives the same deb" cmp "$new_deb" "$(packaging/build --profile dev --bin-dir "$bin_dir" \
        --out "$machine/packages/again" --version "$version" deb 2>/dev/null)"
    check "the compose file, its settings and its config fit together" python3 tests/system/compose.py
    if command -v ruby >/dev/null; then
        check "the formula is Ruby" ruby -c packaging/homebrew/teleclaude.rb
    else
        echo "      (ruby is not here: the formula was not parsed)"
    fi

    # Built and listed; how it installs is for the group `rpm`.
    if ! command -v rpmbuild >/dev/null; then
        echo "      (rpmbuild is not here: no rpm was built)"
        return
    fi
    if ! rpm=$(make_rpm "$version"); then
        fail "the rpm is built"
        return
    fi
    list=$(rpm -qp --dump --nosignature "$rpm")
    holds "the rpm's secrets are config, for root alone" '^/etc/teleclaude/secrets\.yml .* 0100600 root root 1 ' "$list"
    holds "its config is config" '^/etc/teleclaude/config\.yml .* 0100644 root root 1 ' "$list"
    holds "its units are where Fedora looks" '^/usr/lib/systemd/system/teleclaude-runner@\.service .* 0100644 root root 0 ' "$list"
    lacks "everything in it is root's" '^/[^ ]+ [0-9]+ [0-9]+ [0-9a-f]+ 0[0-7]+ (root [^r]|[^r])' "$list"
    same "both packages have the same files" "" "$(diff \
        <(dpkg-deb --contents "$new_deb" | sed -n 's|^-.* \./||p' |
            sed -e 's|^lib/systemd|usr/lib/systemd|' -e 's|zsh/vendor-completions|zsh/site-functions|' |
            grep -Ev '^usr/share/doc/teleclaude/(copyright|changelog\.Debian\.gz)$' | sort) \
        <(rpm -qp --nosignature --queryformat '[%{FILEMODES:perms} %{FILENAMES}\n]' "$rpm" |
            sed -n 's|^-[^ ]* /||p' | grep -v '^usr/share/licenses/' | sort) || true)"
    holds "the rpm asks for the C library" '^libc\.so\.6\(GLIBC_' "$(rpm -qp --requires --nosignature "$rpm")"
}

# `make_rpm VERSION` prints its path.
make_rpm() {
    packaging/build --profile dev --bin-dir "$bin_dir" --out "$machine/packages" --version "$1" rpm
}
