# The commands people type. The build itself is meson's: see meson.build.

PREFIX ?= /usr/local
DESTDIR ?=
SUITE ?=
FUZZ_SECONDS ?= 300
HOSTS ?=

release := build/release

help:
	@echo 'make demo     build hull, take the tour of README.md, show what isolates a container'
	@echo 'make demo-vm  show an image as a container and as a virtual machine, in a virtual host'
	@echo 'make check    build with sanitizers, run the tests'
	@echo 'make testbed  a shell in a virtual host with KVM and hull; HOSTS=3: in the first of three'
	@echo 'make check-long   the same with the full number of cases'
	@echo 'make build    build an optimised hull into $(release)'
	@echo 'make install  install it (DESTDIR=$(DESTDIR) PREFIX=$(PREFIX))'
	@echo 'make bench    measure it beside its peers'
	@echo 'make fuzz     fuzz its parsers for FUZZ_SECONDS=$(FUZZ_SECONDS) each'
	@echo 'make outside SUITE=DIRECTORY   run another project'\''s suite on it'
	@echo 'make guest-kernel   build the minimal kernel for virtual machines'
	@echo 'make deps     install all that these need from the distribution'
	@echo 'make format   format the sources'
	@echo 'make clean    remove build/'

deps:
	@scripts/deps build check testbed bench demo format kernel

build:
	@scripts/deps build
	@echo 'building hull in $(release) …'
	@scripts/build $(release) --prefix=$(PREFIX) -Dstatic=true

demo: build
	@scripts/deps demo
	@demo/tour
	@demo/run

# The same image as a container and as a virtual machine, in a virtual host with KVM.
demo-vm: build
	@scripts/deps demo testbed
	@tests/testbed/run --memory 3072 --share demo -- /hull/levels

check:
	@scripts/deps build check
	@tests/run

check-long:
	@scripts/deps build check
	@tests/run --long

testbed: build
	@scripts/deps testbed
	@tests/testbed/run --interactive $(if $(HOSTS),--hosts $(HOSTS))

bench: build
	@scripts/deps bench
	@bench/all

install: build
	@DESTDIR='$(DESTDIR)' meson install -C $(release) --no-rebuild --quiet

outside: build
	@scripts/deps outside
	@tests/outside/run '$(SUITE)'

guest-kernel:
	@scripts/deps kernel
	@nice -n 15 guest/kernel/build build/guest-kernel

fuzz:
	@scripts/deps build check
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run fuzz

format:
	@scripts/deps format
	@scripts/format

clean:
	rm -rf build

.PHONY: help deps build demo demo-vm check check-long testbed bench install outside guest-kernel fuzz format clean
