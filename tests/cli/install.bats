# `make install`: what goes where.

load helpers

@test "programs, man page and completions are installed below DESTDIR and PREFIX" {
    prefix=$(meson introspect "$HULL_BUILD" --buildoptions |
        jq -r '.[] | select(.name == "prefix").value')
    meson install -C "$HULL_BUILD" --no-rebuild --quiet --destdir "$BATS_TEST_TMPDIR/root"
    installed=$BATS_TEST_TMPDIR/root$prefix
    [ -s "$installed/share/man/man8/hull-oci.8" ]
    [ -s "$installed/share/man/man1/hull.1" ]
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
}
