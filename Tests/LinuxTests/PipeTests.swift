// Pipes as buffers between sockets: their size, what fills them, and what they make of ends.
import Glibc
import Linux
import Testing

private let pageBytes = Int32(sysconf(Int32(_SC_PAGESIZE)))
/// F_GETPIPE_SZ of fcntl(2), which only _GNU_SOURCE defines.
private let getPipeSize: Int32 = 1032

/// POLLRDHUP of poll(2), likewise.
private let pollPeerEnded: Int32 = 0x2000

@_silgen_name("capget") private func capget(
  _ header: UnsafeMutableRawPointer, _ sets: UnsafeMutableRawPointer
) -> Int32
@_silgen_name("capset") private func capset(
  _ header: UnsafeMutableRawPointer, _ sets: UnsafeMutableRawPointer
) -> Int32

/// Takes from the calling thread what lets root exceed the limits on pipes (capabilities(7)).
private func giveUpPipePrivileges() -> Bool {
  var header: [UInt32] = [0x2008_0522, 0]  // _LINUX_CAPABILITY_VERSION_3, this thread
  var sets = [UInt32](repeating: 0, count: 6)  // effective, permitted, inheritable; twice
  guard capget(&header, &sets) == 0 else { return false }
  sets[0] &= ~(1 << 21 | 1 << 24)  // CAP_SYS_ADMIN, CAP_SYS_RESOURCE
  return capset(&header, &sets) == 0
}

/// What a thread found out, read once it has ended.
private final class Finding: @unchecked Sendable {
  var dropped = false
  var error: Errno?
  var size: Int32?
}

extension Pipe {
  fileprivate var size: Int32 { fcntl(output.number, getPipeSize) }
}

@Suite(.timeLimit(.minutes(6))) struct PipeTests {
  @Test(arguments: [65_536, 262_144] as [Int32])
  func aPipeHasAtLeastTheSizeAskedFor(bytes: Int32) throws {
    let pipe = try Pipe.ofCapacity(bytes, atLeast: bytes)
    #expect(pipe.size >= bytes)
    for number in [pipe.output.number, pipe.input.number] {
      #expect(fcntl(number, F_GETFL) & O_NONBLOCK != 0)
      #expect(fcntl(number, F_GETFD) & FD_CLOEXEC != 0)
    }
  }

  @Test func aPipeAboveTheSystemsLimitIsRefused() throws {
    let text = try #require(readFile(Array("/proc/sys/fs/pipe-max-size".utf8), limit: 32))
    let limit = try #require(Int32(String(decoding: text.dropLast(), as: UTF8.self)))
    let finding = Finding()
    let thread = try Background(name: "pipe-limit") {
      finding.dropped = giveUpPipePrivileges()
      finding.error = failure { () throws(Errno) in
        _ = try Pipe.ofCapacity(limit * 2, atLeast: limit * 2)
      }
      finding.size = try? Pipe.ofCapacity(limit * 2, atLeast: 262_144).size
    }
    try thread.wait()
    #expect(finding.dropped && finding.error == .notPermitted)
    #expect(finding.size == 262_144)
  }

  @Test func bytesGoThroughAPipeUnchanged() throws {
    let source = try Connection()
    let target = try Connection()
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    let bytes = testBytes(5_000)
    _ = source.near.send(bytes)
    try forward(5_000, from: source.far, through: pipe, into: target.near)
    let received = try target.far.receiveExactly(5_000)
    #expect(received == bytes)
  }

  @Test func nothingToMoveIsNotTheEnd() throws {
    let connection = try Connection()
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    let filled = pipe.fill(from: connection.far, limit: 65_536)
    let drained = pipe.drain(into: connection.far, count: 1)
    #expect(filled == .wouldBlock && drained == .wouldBlock)
  }

  @Test func theEndOfTheStreamComesAfterItsLastByte() throws {
    let connection = try Connection()
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    _ = connection.near.send([1])
    try connection.near.endSending()
    try waitReadable(connection.far.number)
    let first = pipe.fill(from: connection.far, limit: 65_536)
    #expect(first == .moved(1))
    guard polls(connection.far.number, pollPeerEnded, within: patienceMilliseconds) else {
      throw Failure("no end")
    }
    let second = pipe.fill(from: connection.far, limit: 65_536)
    #expect(second == .ended)
  }

  @Test func aResetIsMetByFilling() throws {
    let connection = try Connection()
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    connection.near.resetOnClose()
    close(connection.near)
    try waitReadable(connection.far.number)
    let filled = pipe.fill(from: connection.far, limit: 65_536)
    #expect(filled == .failed(.connectionReset))
  }

  @Test func aResetIsMetByDraining() throws {
    let source = try Connection()
    let target = try Connection()
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    _ = source.near.send([1, 2, 3])
    try waitReadable(source.far.number)
    let filled = pipe.fill(from: source.far, limit: 3)
    #expect(filled == .moved(3))
    target.far.resetOnClose()
    close(target.far)
    try waitReadable(target.near.number)
    let drained = pipe.drain(into: target.near, count: 3)
    #expect(drained == .failed(.connectionReset) || drained == .failed(.brokenPipe))
  }

  @Test func aPipeFullOfSlotsIsNotAnEmptySocket() throws {
    let source = try Connection()
    let target = try Connection()
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    let slots = Int(fcntl(pipe.output.number, getPipeSize) / pageBytes)
    // One byte takes a whole slot when it comes alone.
    for index in 0..<slots {
      _ = source.near.send([UInt8(index)])
      try waitReadable(source.far.number)
      let filled = pipe.fill(from: source.far, limit: 65_536)
      #expect(filled == .moved(1))
    }
    _ = source.near.send([UInt8(slots)])
    try waitReadable(source.far.number)
    let full = pipe.fill(from: source.far, limit: 65_536)
    let stillThere = source.far.peek()
    #expect(full == .wouldBlock && stillThere == .moved(1))
    let drained = pipe.drain(into: target.near, count: slots)
    #expect(drained == .moved(slots))
    let rest = pipe.fill(from: source.far, limit: 65_536)
    #expect(rest == .moved(1))
    let last = pipe.drain(into: target.near, count: 1)
    #expect(last == .moved(1))
    let received = try target.far.receiveExactly(slots + 1)
    #expect(received == (0...slots).map { UInt8($0) })
  }

  @Test func manySmallSegmentsComeThroughInOrder() throws {
    let source = try Connection()
    let target = try Connection()
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    let bytes = testBytes(2_000)
    for byte in bytes { _ = source.near.send([byte]) }
    try forward(2_000, from: source.far, through: pipe, into: target.near)
    let received = try target.far.receiveExactly(2_000)
    #expect(received == bytes)
  }

  @Test func aTargetThatIsFullKeepsTheBytesInThePipe() throws {
    let source = try Connection()
    let target = try Connection()
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    _ = source.near.send([1, 2, 3])
    try waitReadable(source.far.number)
    let filled = pipe.fill(from: source.far, limit: 65_536)
    #expect(filled == .moved(3))
    // The kernel still moves what was sent before into the peer's buffer.
    try eventually("the target is full") { try target.near.sendUntilFull() == 0 }
    let drained = pipe.drain(into: target.near, count: 3)
    #expect(drained == .wouldBlock)
    #expect(polls(pipe.output.number, POLLIN, within: 0))
  }
}

/// Fills and drains by turns until `count` bytes are through.
private func forward(
  _ count: Int, from source: borrowing Socket, through pipe: borrowing Pipe,
  into target: borrowing Socket
) throws {
  var rest = count
  while rest > 0 {
    try waitReadable(source.number)
    let filled = pipe.fill(from: source, limit: rest)
    guard case .moved(var held) = filled else { throw Failure("filling: \(filled)") }
    rest -= held
    while held > 0 {
      let drained = pipe.drain(into: target, count: held)
      guard case .moved(let moved) = drained else { throw Failure("draining: \(drained)") }
      held -= moved
    }
  }
}
