// What the daemon may still ask of the kernel once it has started, as a program for seccomp(2) in
// classic BPF. Whatever is not listed gets EPERM and goes on: a connection to a database is worth
// more than a process killed for a call that was forgotten here.

public enum Architecture: Sendable, CaseIterable {
  case amd64, arm64

  #if arch(arm64)
    public static let own = Architecture.arm64
  #else
    public static let own = Architecture.amd64
  #endif

  /// AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64 (linux/audit.h): 32-bit calls have another.
  public var auditNumber: UInt32 {
    switch self {
    case .amd64: 0xc000_003e
    case .arm64: 0xc000_00b7
    }
  }
}

/// A system call's numbers (asm/unistd.h); `none` where an architecture has no such call.
public struct SystemCall: Sendable {
  public let amd64: UInt16
  public let arm64: UInt16

  static let none = UInt16.max

  init(_ amd64: UInt16, _ arm64: UInt16) {
    self.amd64 = amd64
    self.arm64 = arm64
  }

  public func number(on architecture: Architecture) -> UInt16 {
    switch architecture {
    case .amd64: amd64
    case .arm64: arm64
    }
  }
}

/// A call that is permitted when an argument, of which the kernel looks at the lower half, is one
/// of few under a mask.
public struct ConditionalCall: Sendable {
  public let call: SystemCall
  public let argument: UInt8
  public let mask: UInt32
  /// Some of them may be equal.
  public let values: (UInt32, UInt32, UInt32)
}

public enum SystemCallFilter {
  /// The most frequent first: kernels before 5.11 run through the list on every call.
  public static let always = [
    SystemCall(45, 207),  // recvfrom
    SystemCall(44, 206),  // sendto
    SystemCall(275, 76),  // splice
    SystemCall(232, SystemCall.none),  // epoll_wait
    SystemCall(281, 22),  // epoll_pwait
    SystemCall(288, 242),  // accept4
    SystemCall(3, 57),  // close
    SystemCall(436, 436),  // close_range
    SystemCall(233, 21),  // epoll_ctl
    SystemCall(42, 203),  // connect
    SystemCall(54, 208),  // setsockopt
    SystemCall(55, 209),  // getsockopt
    SystemCall(48, 210),  // shutdown
    SystemCall(0, 63),  // read
    SystemCall(1, 64),  // write
    SystemCall(293, 59),  // pipe2
    SystemCall(51, 204),  // getsockname
    SystemCall(7, SystemCall.none),  // poll
    SystemCall(271, 73),  // ppoll
    SystemCall(291, 20),  // epoll_create1
    SystemCall(290, 19),  // eventfd2
    SystemCall(202, 98),  // futex
    SystemCall(318, 278),  // getrandom
    SystemCall(4, SystemCall.none),  // stat
    SystemCall(262, 79),  // newfstatat
    SystemCall(217, 61),  // getdents64
    SystemCall(61, 260),  // wait4
    SystemCall(107, 175),  // geteuid
    SystemCall(11, 215),  // munmap
    SystemCall(25, 216),  // mremap
    SystemCall(28, 233),  // madvise
    SystemCall(12, 214),  // brk
    SystemCall(228, 113),  // clock_gettime, where the clock is not to be had without a call
    SystemCall(14, 135),  // rt_sigprocmask
    SystemCall(15, 139),  // rt_sigreturn
    SystemCall(219, 128),  // restart_syscall
    SystemCall(60, 93),  // exit
    SystemCall(231, 94),  // exit_group
  ]

  public static let conditional = [
    // Reading: neither O_WRONLY nor O_RDWR, O_CREAT, O_TRUNC.
    ConditionalCall(call: SystemCall(2, SystemCall.none), argument: 1, mask: 0o1103, is: 0),
    ConditionalCall(call: SystemCall(257, 56), argument: 2, mask: 0o1103, is: 0),  // openat
    // Memory, but none to execute: PROT_EXEC.
    ConditionalCall(call: SystemCall(9, 222), argument: 2, mask: 4, is: 0),  // mmap
    ConditionalCall(call: SystemCall(10, 226), argument: 2, mask: 4, is: 0),  // mprotect
    // AF_INET, AF_INET6.
    ConditionalCall(call: SystemCall(41, 198), argument: 0, is: 2, or: 10),  // socket
    // TIOCOUTQ.
    ConditionalCall(call: SystemCall(16, 29), argument: 1, is: 0x5411),  // ioctl
    // F_SETFD, F_SETPIPE_SZ, F_GETPIPE_SZ.
    ConditionalCall(call: SystemCall(72, 25), argument: 1, is: 2, or: 1031, or: 1032),  // fcntl
    // A thread names itself: PR_SET_NAME.
    ConditionalCall(call: SystemCall(157, 167), argument: 0, is: 15),  // prctl
    // Of this process alone, whose hard limits it can no longer raise.
    ConditionalCall(call: SystemCall(302, 261), argument: 0, is: 0),  // prlimit64
  ]

  /// For a control socket that has still to be opened.
  public static let listening = [
    SystemCall(49, 200),  // bind
    SystemCall(50, 201),  // listen
  ]

  /// How many calls are permitted.
  public static let count = always.count + conditional.count

  /// Instructions as `struct sock_filter` has them in memory, little-endian.
  public static func program(
    for architecture: Architecture, mayListen: Bool
  ) -> [UInt64] {
    var program = FilterProgram()
    program.load(offset: 4)  // seccomp_data.arch
    program.skip(1, unlessEqual: architecture.auditNumber, negated: true)
    program.refuse()
    program.load(offset: 0)  // seccomp_data.nr
    for call in always { program.permit(call.number(on: architecture)) }
    if mayListen {
      for call in listening { program.permit(call.number(on: architecture)) }
      // AF_UNIX, AF_INET, AF_INET6.
      program.permit(
        ConditionalCall(call: SystemCall(41, 198), argument: 0, is: 1, or: 2, or: 10),
        on: architecture)
    }
    for call in conditional { program.permit(call, on: architecture) }
    program.refuse()
    return program.instructions
  }
}

extension ConditionalCall {
  init(
    call: SystemCall, argument: UInt8, mask: UInt32 = .max, is first: UInt32,
    or second: UInt32? = nil, or third: UInt32? = nil
  ) {
    self.call = call
    self.argument = argument
    self.mask = mask
    values = (first, second ?? first, third ?? first)
  }
}

/// Writes instructions (linux/bpf_common.h); every rule ends in a verdict of its own, so that no
/// jump is long.
private struct FilterProgram {
  var instructions: [UInt64] = []

  private mutating func add(_ code: UInt64, _ value: UInt32, then: UInt64 = 0, else: UInt64 = 0) {
    instructions.append(code | then << 16 | `else` << 24 | UInt64(value) << 32)
  }

  /// BPF_LD | BPF_W | BPF_ABS: of struct seccomp_data.
  mutating func load(offset: UInt32) { add(0x20, offset) }

  /// BPF_JMP | BPF_JEQ | BPF_K
  mutating func skip(_ count: UInt64, unlessEqual value: UInt32, negated: Bool = false) {
    add(0x15, value, then: negated ? count : 0, else: negated ? 0 : count)
  }

  /// BPF_RET, SECCOMP_RET_ALLOW
  mutating func permit() { add(0x06, 0x7fff_0000) }

  /// BPF_RET, SECCOMP_RET_ERRNO with EPERM
  mutating func refuse() { add(0x06, 0x0005_0001) }

  mutating func permit(_ number: UInt16) {
    guard number != SystemCall.none else { return }
    skip(1, unlessEqual: UInt32(number))
    permit()
  }

  mutating func permit(_ conditional: ConditionalCall, on architecture: Architecture) {
    let number = conditional.call.number(on: architecture)
    guard number != SystemCall.none else { return }
    skip(7, unlessEqual: UInt32(number))
    load(offset: 16 + 8 * UInt32(conditional.argument))  // seccomp_data.args
    add(0x54, conditional.mask)  // BPF_ALU | BPF_AND | BPF_K
    let (first, second, third) = conditional.values
    add(0x15, first, then: 2)
    add(0x15, second, then: 1)
    skip(1, unlessEqual: third)
    permit()
    refuse()
  }
}
