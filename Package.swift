// swift-tools-version: 6.2
// Two builds from one source: ordinary Swift for development and tests, and, when STATIC names
// an architecture (x86_64, aarch64), Embedded Swift linked statically with musl for shipping.

import PackageDescription

let architecture = Context.environment["STATIC"] ?? ""
let isStatic = !architecture.isEmpty

/// Where musl's headers, start files and archives live. Debian's `musl-dev` puts them here; a
/// cross build points SYSROOT at an unpacked `musl-dev` of the other architecture.
let sysroot = Context.environment["SYSROOT"] ?? ""
let muslInclude = "\(sysroot)/usr/include/\(architecture)-linux-musl"
let muslLibrary = "\(sysroot)/usr/lib/\(architecture)-linux-musl"

/// Names the release in `--version`; the Makefile passes the tag or commit.
let version = Context.environment["VERSION"] ?? "development"

/// Set for the sanitizers alone: the black-box tests have none of the program in them.
let isSanitized = Context.environment["SANITIZED"] != nil

/// Set for valgrind alone: the object file of another heap, with which the static binary is linked
/// in place of musl's; and it keeps its symbols (Makefile).
let heap = Context.environment["HEAP"]

/// Set for the fuzzer alone: its target exists, and Core is instrumented for it (Makefile).
let isFuzzed = Context.environment["FUZZ"] != nil

/// Set for the benchmarks alone: the load generator's target exists (Makefile).
let isMeasured = Context.environment["BENCH"] != nil

/// Set for the simulation alone: CLinux has no code then, its functions are the simulated kernel's
/// (Tests/Simulation), and everything above it is as it is.
let isSimulated = Context.environment["SIMULATION"] != nil

var swiftSettings: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .treatWarning("EmbeddedRestrictions", as: .error),
]
var cSettings: [CSetting] = [
  .unsafeFlags(["-Wall", "-Wextra", "-Werror"]),
  .define("SIDECAR_VERSION", to: "\"\(version)\""),
]
var linkerSettings: [LinkerSetting] = []

if isStatic {
  swiftSettings += [
    .enableExperimentalFeature("Embedded"),
    // Exclusive access to memory is checked at run time in the ordinary build, so by every test;
    // here the check would cost 8 KB, and time in the forwarding loop.
    // One trap per function for all its failed checks saves 2 KB; no copy of a function for each
    // closure that it is called with, another 2 KB.
    .unsafeFlags([
      "-wmo", "-Osize", "-Xfrontend", "-function-sections", "-enforce-exclusivity=unchecked",
      "-Xfrontend", "-mergeable-traps", "-Xllvm", "-sil-disable-pass=closure-specialize",
    ]),
  ]
  cSettings += [
    .unsafeFlags([
      "-nostdlibinc", "-isystem", muslInclude, "-fPIE", "-ffunction-sections",
      "-fstack-protector-strong",
      // Nothing unwinds; a debugger reads .debug_frame, which is stripped with the rest.
      "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
    ])
  ]
  linkerSettings = [
    .unsafeFlags(
      (heap.map { [$0] } ?? []) + [
        "-Xclang-linker", "-nostdlib", "-use-ld=lld",
        "-Xlinker", "-static", "-Xlinker", "-pie", "-Xlinker", "--no-dynamic-linker",
        "\(muslLibrary)/rcrt1.o", "\(muslLibrary)/crti.o",
        "\(muslLibrary)/libc.a", "\(muslLibrary)/crtn.o",
        "-Xlinker", heap == nil ? "-s" : "--discard-none",
        "-Xlinker", "--gc-sections", "-Xlinker", "--icf=all", "-Xlinker", "-O2",
        // All modules are optimised as one (the Makefile's LTO). A function that is called once is
        // inlined whatever the threshold; others are smaller called.
        "-Xlinker", "-mllvm", "-Xlinker", "-inline-threshold=0",
        "-Xlinker", "-z", "-Xlinker", "relro", "-Xlinker", "-z", "-Xlinker", "now",
        "-Xlinker", "-z", "-Xlinker", "noexecstack",
      ])
  ]
}

let package = Package(
  name: "sidecar",
  targets: [
    .target(name: "CLinux", cSettings: cSettings),
    .target(name: "Linux", dependencies: ["CLinux"], swiftSettings: swiftSettings),
    .target(name: "Core", swiftSettings: swiftSettings),
    .target(name: "Daemon", dependencies: ["Core", "Linux"], swiftSettings: swiftSettings),
    .executableTarget(
      name: "sidecar", dependencies: ["Daemon"],
      swiftSettings: swiftSettings + [.unsafeFlags(["-parse-as-library"])],
      linkerSettings: linkerSettings),
  ]
)

// Swift Testing needs the whole standard library: tests exist in the ordinary build alone.
if !isStatic && !isSimulated {
  package.targets += [
    .testTarget(name: "CoreTests", dependencies: ["Core"]),
    .testTarget(name: "LinuxTests", dependencies: ["Linux"]),
  ]
  if !isSanitized { package.targets.append(.testTarget(name: "BlackBoxTests")) }
}

if isFuzzed {
  let sanitizers = ["-sanitize=fuzzer,address"]
  for target in package.targets where target.name == "Core" {
    target.swiftSettings = swiftSettings + [.unsafeFlags(sanitizers)]
  }
  package.targets += [
    .executableTarget(
      name: "Fuzz", dependencies: ["Core"], path: "Tests/Fuzz", exclude: ["seeds", "words"],
      swiftSettings: swiftSettings + [.unsafeFlags(sanitizers + ["-parse-as-library"])],
      linkerSettings: [.unsafeFlags(sanitizers + ["-use-ld=lld"])])
  ]
}

if isMeasured {
  package.targets += [
    .executableTarget(
      name: "Load", dependencies: ["CLinux", "Linux"], path: "Tests/Benchmarks/Load",
      swiftSettings: swiftSettings)
  ]
}

if isSimulated {
  for target in package.targets where target.name == "CLinux" {
    target.sources = ["Version.c"]
  }
  package.targets += [
    .target(name: "Stacks", path: "Tests/Simulation/Stacks", cSettings: cSettings),
    .executableTarget(
      name: "Simulate", dependencies: ["CLinux", "Core", "Daemon", "Stacks"],
      path: "Tests/Simulation", exclude: ["Stacks", "mutants.py"],
      swiftSettings: [.treatAllWarnings(as: .error), .unsafeFlags(["-parse-as-library"])]),
  ]
}
