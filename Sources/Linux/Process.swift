// The process: signals, children, threads, clocks, limits, environment.
import CLinux

public enum Signal: Equatable, Sendable {
  case terminate, interrupt, childEnded, userDefined

  init?(number: Int32) {
    switch number {
    case Int32(LINUX_SIGTERM): self = .terminate
    case Int32(LINUX_SIGINT): self = .interrupt
    case Int32(LINUX_SIGCHLD): self = .childEnded
    case Int32(LINUX_SIGUSR1): self = .userDefined
    case _: return nil
    }
  }
}

/// SIGTERM, SIGINT, SIGCHLD and SIGUSR1 as something to read (signalfd(2)); SIGHUP and SIGPIPE
/// ignored.
/// Made before any other thread, so that none of them is interrupted.
public struct SignalQueue: ~Copyable {
  public let descriptor: Descriptor

  public init() throws(Errno) {
    descriptor = Descriptor(owning: try checked(linux_signals()))
  }

  /// The next signal that waits; nil when none does.
  public borrowing func next() -> Signal? { Signal(number: linux_next_signal(descriptor.number)) }
}

/// getpid(2) is 1: orphans in the container become our children.
public func isInit() -> Bool { linux_process_id() == 1 }

public func processID() -> Int { Int(linux_process_id()) }

/// waitpid(2) for every child that has ended.
public func reapChildren() {
  while linux_reap_one() > 0 {}
}

/// _exit(2): the kernel closes what is open.
public func exitProcess(code: Int32) -> Never { linux_exit(code) }

/// pthread_create(3), detached; `name` (15 bytes at most) shows in ps(1) and top(1).
/// - Throws: EAGAIN when the limit on threads is reached.
public func startThread(
  name: StaticString, _ body: @convention(c) (UnsafeMutableRawPointer?) -> Void,
  _ argument: UnsafeMutableRawPointer?
) throws(Errno) {
  try checked(
    name.utf8Start.withMemoryRebound(to: CChar.self, capacity: name.utf8CodeUnitCount + 1) {
      linux_thread(body, argument, $0)
    })
}

/// clock_gettime(2), CLOCK_MONOTONIC, in nanoseconds.
public func monotonicNanoseconds() -> Int64 { linux_monotonic_nanoseconds() }

/// clock_gettime(2), CLOCK_REALTIME, in nanoseconds since 1970.
public func wallNanoseconds() -> Int64 { linux_wall_nanoseconds() }

/// getrandom(2): bits that nobody can guess.
public func unguessableBits() -> UInt16 { linux_random() }

/// sched_getaffinity(2): CPUs that this process may run on; 1 when the kernel does not say.
public func usableCPUs() -> Int { max(1, Int(linux_usable_cpus())) }

/// Raises RLIMIT_NOFILE to its hard limit (getrlimit(2)); the limit in force.
public func raiseDescriptorLimit() throws(Errno) -> Int {
  let limit = linux_raise_descriptor_limit()
  guard limit >= 0 else { throw Errno(code: Int32(-limit)) }
  return Int(limit)
}

/// getenv(3); nil when unset.
@inline(never) public func environment(_ name: StaticString) -> [UInt8]? {
  name.utf8Start.withMemoryRebound(to: CChar.self, capacity: name.utf8CodeUnitCount + 1) {
    linux_environment($0).map(bytes(ofCString:))
  }
}

/// The release as the build named it.
public func releaseVersion() -> [UInt8] { bytes(ofCString: linux_version()) }

/// The bytes before the terminating zero.
@inline(never) public func bytes(ofCString text: UnsafePointer<CChar>) -> [UInt8] {
  var bytes: [UInt8] = []
  var next = text
  while next.pointee != 0 {
    bytes.append(UInt8(bitPattern: next.pointee))
    next += 1
  }
  return bytes
}

/// malloc(3); nil when there is no memory.
public func allocate(bytes: Int) -> UnsafeMutableRawPointer? { linux_allocate(bytes) }

/// free(3).
public func free(_ memory: UnsafeMutableRawPointer) { linux_free(memory) }

/// Descriptors that are open now, by /proc/self/fd; nil where there is no /proc.
public func openDescriptors() -> Int? {
  let count = linux_count_descriptors()
  return count >= 0 ? Int(count) : nil
}

/// Columns and rows of the terminal behind a descriptor; nil when it is none.
public func terminalSize(of descriptor: Int32) -> (columns: Int, rows: Int)? {
  var columns: Int32 = 0
  var rows: Int32 = 0
  guard linux_terminal_size(descriptor, &columns, &rows) == 0, columns > 0, rows > 0 else {
    return nil
  }
  return (Int(columns), Int(rows))
}
