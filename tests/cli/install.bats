# `make install`: what goes where.

load hull

@test "programs, man page and completions are installed below DESTDIR and PREFIX" {
    prefix=$(meson introspect "$HULL_BUILD" --buildoptions |
        jq -r '.[] | select(.name == "prefix").value')
    meson install -C "$HULL_BUILD" --no-rebuild --quiet --destdir "$BATS_TEST_TMPDIR/root"
    installed=$BATS_TEST_TMPDIR/root$prefix
    [ -s "$installed/share/man/man8/hull-oci.8" ]
    [ -s "$installed/share/man/man1/hull.1" ]
    [ -s "$installed/share/man/man8/hull-vmm.8" ]
    [ -s "$installed/share/bash-completion/completions/hull" ]
    [ -s "$installed/share/zsh/site-functions/_hull" ]
    [ -s "$installed/share/bash-completion/completions/hull-oci" ]
    [ -s "$installed/share/zsh/site-functions/_hull-oci" ]
    # Nothing of the build's own tools.
    [ -z "$(find "$BATS_TEST_TMPDIR/root" -name describe -o -name measure)" ]
    # And where the program is, it starts from there.
    program=$(find "$installed" -name hull-oci -type f -perm -u+x)
    [ -n "$program" ]
    "$program" --version
    "$installed/bin/hull-vmm" --version
    # So does hull, with its monitor, its runtime, its helpers for ports and names, and its client
    # of registries, for all that the prefix is another.
    HULL=$installed/bin/hull
    hull run -d --name web -p 8080:80 busybox sh -c 'echo page >/index.html && httpd -f -p 80 -h /'
    wait_until 10 eval '[ "$(nsenter --net="/run/netns/$net" curl -s http://127.0.0.1:8080)" = page ]'
    local names
    names=$(find "$installed/libexec/hull" -type f -printf '%f\n' | sort)
    equals "hull-dns hull-guest-init hull-monitor hull-port hull-vm" "$(echo $names)"
    hull network create named >/dev/null
    hull run -d --name other --network named busybox sleep 1000 >/dev/null
    hull run --rm --network named busybox ping -c 1 other
    # What runs is of the installation, not of the build tree.
    local process found=''
    for process in /proc/[0-9]*; do
        found+=" $(readlink "$process/exe" 2>/dev/null || true)"
    done
    contains " $installed/libexec/hull/hull-monitor" "$found"
    contains " $installed/libexec/hull/hull-dns" "$found"
    run_hull pull localhost:1/nothing
    contains 'localhost:1' "$stderr"
    contains 'onnect' "$stderr"
}
