// The filter of system calls, run as the kernel runs it, for both architectures, and its numbers
// compared with the kernel's headers.
import Core
import Foundation
import Testing

/// The names of the calls, in the order of the lists.
private let always = [
  "recvfrom", "sendto", "splice", "epoll_wait", "epoll_pwait", "accept4", "close", "close_range",
  "epoll_ctl",
  "connect", "setsockopt", "getsockopt", "shutdown", "read", "write", "pipe2", "getsockname",
  "poll", "ppoll", "epoll_create1", "eventfd2", "futex", "getrandom", "stat",
  "newfstatat",
  "getdents64", "wait4", "geteuid", "munmap", "mremap", "madvise", "brk", "clock_gettime",
  "rt_sigprocmask", "rt_sigreturn", "restart_syscall", "exit", "exit_group",
]
private let conditional = [
  "open", "openat", "mmap", "mprotect", "socket", "ioctl", "fcntl", "prctl", "prlimit64",
]
private let listening = ["bind", "listen"]

/// What the kernel keeps from a program that it has been told to run (linux/bpf_common.h).
private enum Verdict: Equatable {
  case permitted, refused
}

/// struct seccomp_data, and a machine for the few instructions that there are.
private struct Call {
  var architecture: UInt32
  var number: UInt32
  var arguments: [UInt64] = [0, 0, 0, 0, 0, 0]

  private func word(at offset: UInt32) -> UInt32 {
    if offset == 0 { return number }
    if offset == 4 { return architecture }
    let argument = arguments[Int(offset - 16) / 8]
    return UInt32(truncatingIfNeeded: offset % 8 == 0 ? argument : argument >> 32)
  }

  func verdict(_ program: [UInt64]) throws -> Verdict {
    var accumulator: UInt32 = 0
    var next = 0
    while true {
      let instruction = try #require(program.indices.contains(next) ? program[next] : nil)
      let value = UInt32(truncatingIfNeeded: instruction >> 32)
      next += 1
      switch instruction & 0xffff {
      case 0x20: accumulator = word(at: value)
      case 0x54: accumulator &= value
      case 0x15:
        next += Int((accumulator == value ? instruction >> 16 : instruction >> 24) & 0xff)
      case 0x06:
        if value == 0x7fff_0000 { return .permitted }
        #expect(value == 0x0005_0000 | UInt32(EPERM), "neither allow nor EPERM")
        return .refused
      default: Issue.record("an instruction that is not used: \(instruction)")
      }
    }
  }
}

private func verdict(
  _ architecture: Architecture, _ number: UInt16, _ arguments: [UInt64] = [],
  mayListen: Bool = false
) throws -> Verdict {
  let all = arguments + Array(repeating: 0, count: 6 - arguments.count)
  return try Call(
    architecture: architecture.auditNumber, number: UInt32(number), arguments: all
  ).verdict(SystemCallFilter.program(for: architecture, mayListen: mayListen))
}

private func numbers(_ architecture: Architecture) throws -> [String: UInt16] {
  let path =
    architecture == .arm64
    ? "/usr/include/asm-generic/unistd.h" : "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
  var numbers: [String: UInt16] = [:]
  for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
    let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
    guard words.count >= 3, words[0] == "#define", let number = UInt16(words[2]) else { continue }
    for prefix in ["__NR_", "__NR3264_"] where words[1].hasPrefix(prefix) {
      let name = String(words[1].dropFirst(prefix.count))
      // For 64 bits the generic header calls it by its newer name.
      numbers[name == "fstatat" ? "newfstatat" : name] = number
    }
  }
  return numbers
}

struct SystemCallFilterTests {
  @Test(arguments: Architecture.allCases)
  func theNumbersAreTheKernels(_ architecture: Architecture) throws {
    let expected = try numbers(architecture)
    let lists = [
      (always, SystemCallFilter.always), (listening, SystemCallFilter.listening),
      (conditional, SystemCallFilter.conditional.map { $0.call }),
    ]
    for (names, calls) in lists {
      #expect(names.count == calls.count)
      for (name, call) in zip(names, calls) {
        #expect(call.number(on: architecture) == expected[name] ?? UInt16.max, "\(name)")
      }
    }
  }

  @Test(arguments: Architecture.allCases)
  func everythingElseIsRefused(_ architecture: Architecture) throws {
    let listed = Set(
      (SystemCallFilter.always + SystemCallFilter.conditional.map { $0.call }).map {
        $0.number(on: architecture)
      })
    for number in UInt16(0)..<2000 where !listed.contains(number) {
      #expect(try verdict(architecture, number) == .refused, "\(number)")
    }
    for call in SystemCallFilter.always {
      let number = call.number(on: architecture)
      guard number != UInt16.max else { continue }
      #expect(try verdict(architecture, number) == .permitted, "\(number)")
    }
  }

  @Test(arguments: Architecture.allCases)
  func callsOfAnotherArchitectureAreRefused(_ architecture: Architecture) throws {
    let program = SystemCallFilter.program(for: architecture, mayListen: true)
    let i386: UInt32 = 0x4000_0003
    let arm: UInt32 = 0x4000_0028
    for other in [i386, arm] {
      for number in UInt32(0)..<500 {
        #expect(try Call(architecture: other, number: number).verdict(program) == .refused)
      }
    }
    // x32 calls have the architecture of x86_64, and a bit of their own.
    for number in UInt32(0)..<600 {
      let call = Call(architecture: architecture.auditNumber, number: number | 0x4000_0000)
      #expect(try call.verdict(program) == .refused)
    }
  }

  @Test(arguments: Architecture.allCases)
  func argumentsDecideWhereACallCanDoMoreThanIsNeeded(_ architecture: Architecture) throws {
    let known = try numbers(architecture)
    func check(_ name: String, _ arguments: [UInt64], _ expected: Verdict) throws {
      let number = try #require(known[name])
      #expect(try verdict(architecture, number, arguments) == expected, "\(name) \(arguments)")
    }
    let cloexec = UInt64(O_CLOEXEC)
    try check("openat", [0, 0, cloexec], .permitted)
    for flags in [O_WRONLY, O_RDWR, O_WRONLY | O_CREAT, O_RDONLY | O_CREAT, O_TRUNC] {
      try check("openat", [0, 0, UInt64(flags) | cloexec], .refused)
    }
    for name in ["mmap", "mprotect"] {
      try check(name, [0, 4096, UInt64(PROT_READ | PROT_WRITE)], .permitted)
      try check(name, [0, 4096, UInt64(PROT_READ | PROT_EXEC)], .refused)
      try check(name, [0, 4096, UInt64(PROT_EXEC) | 0xff << 32], .refused)
    }
    for (family, expected) in [(2, Verdict.permitted), (10, .permitted), (1, .refused)] {
      try check("socket", [UInt64(family), 1], expected)
    }
    for family in [16, 17, 38, 40, 44] { try check("socket", [UInt64(family)], .refused) }
    try check("ioctl", [3, 0x5411], .permitted)
    for request in [0x5412, 0x5401, 0x8946] { try check("ioctl", [3, UInt64(request)], .refused) }
    for command in [2, 1031, 1032] { try check("fcntl", [3, UInt64(command)], .permitted) }
    for command in [0, 4, 8, 1024] { try check("fcntl", [3, UInt64(command)], .refused) }
    try check("prctl", [15], .permitted)
    for option in [4, 8, 22, 38, 47] { try check("prctl", [UInt64(option)], .refused) }
    try check("prlimit64", [0, 7], .permitted)
    try check("prlimit64", [1, 7], .refused)
  }

  @Test(arguments: Architecture.allCases)
  func listeningIsPermittedOnlyWhileTheControlSocketIsMissing(
    _ architecture: Architecture
  ) throws {
    let known = try numbers(architecture)
    for name in listening {
      let number = try #require(known[name])
      #expect(try verdict(architecture, number) == .refused)
      #expect(try verdict(architecture, number, mayListen: true) == .permitted)
    }
    let socket = try #require(known["socket"])
    #expect(try verdict(architecture, socket, [1], mayListen: true) == .permitted)
    #expect(try verdict(architecture, socket, [16], mayListen: true) == .refused)
  }

  @Test func theProgramIsShortEnoughForTheKernel() {
    for architecture in Architecture.allCases {
      let program = SystemCallFilter.program(for: architecture, mayListen: true)
      #expect(program.count <= 4096)  // BPF_MAXINSNS
    }
  }
}
