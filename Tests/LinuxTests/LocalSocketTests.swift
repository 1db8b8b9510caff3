// Abstract local sockets, the count of descriptors, and the size of a terminal.
import Glibc
import Linux
import Testing

/// Names of this test process alone.
private func name(_ text: String) -> [UInt8] { Array("sidecar-test-\(getpid())-\(text)".utf8) }

/// Accepts the client that waits, or will in a moment.
private func accepted(from listener: borrowing Socket) throws -> Socket {
  try waitReadable(listener.number)
  guard let socket = try listener.acceptLocal() else { throw Failure("nobody waits") }
  return socket
}

@Suite(.timeLimit(.minutes(6))) struct LocalSocketTests {
  @Test func bytesGoBothWaysAndThenItEnds() throws {
    let listener = try Socket.listening(atLocalName: name("both"))
    let near = try Socket.connected(toLocalName: name("both"))
    let far = try accepted(from: listener)
    #expect(near.send([1, 2, 3]) == .moved(3))
    #expect(try far.receiveExactly(3) == [1, 2, 3])
    #expect(far.send([4]) == .moved(1))
    #expect(try near.receiveExactly(1) == [4])
    try far.endSending()
    #expect(try near.receive(1).0 == .ended)
  }

  @Test func aNameThatIsTakenIsRefused() throws {
    let listener = try Socket.listening(atLocalName: name("taken"))
    #expect(
      failure { () throws(Errno) in _ = try Socket.listening(atLocalName: name("taken")) }
        == .addressInUse)
    #expect(listener.number >= 0)
  }

  @Test func aNameIsFreeAgainAsSoonAsItsOwnerIsGone() throws {
    do { _ = try Socket.listening(atLocalName: name("again")) }
    #expect(
      failure { () throws(Errno) in _ = try Socket.connected(toLocalName: name("again")) }
        == .refused)
    #expect(
      failure { () throws(Errno) in _ = try Socket.listening(atLocalName: name("again")) } == nil)
  }

  /// A name has a length and no end: one that begins another is not the other.
  @Test func theWholeNameCounts() throws {
    let listener = try Socket.listening(atLocalName: name("whole"))
    #expect(
      failure { () throws(Errno) in _ = try Socket.connected(toLocalName: name("whol")) }
        == .refused)
    #expect(
      failure { () throws(Errno) in _ = try Socket.connected(toLocalName: name("whole1")) }
        == .refused)
    #expect(!polls(listener.number, POLLIN, within: 0))
  }

  @Test func moreThanTheBacklogHoldsIsToWait() throws {
    let listener = try Socket.listening(atLocalName: name("full"))
    var waiting: [Int32] = []
    defer { for number in waiting { closeDescriptor(number) } }
    let error = failure { () throws(Errno) in
      for _ in 0..<100 {
        let socket = try Socket.connected(toLocalName: name("full"))
        waiting.append(dup(socket.number))
      }
    }
    #expect(error == .wouldBlock)
    #expect(waiting.count >= 16)
    #expect(listener.number >= 0)
  }

  @Test func eachEndKnowsTheOthersUser() throws {
    let listener = try Socket.listening(atLocalName: name("user"))
    let near = try Socket.connected(toLocalName: name("user"))
    let far = try accepted(from: listener)
    #expect(try near.peerUser() == Int32(geteuid()))
    #expect(try far.peerUser() == Int32(geteuid()))
    #expect(effectiveUser() == Int32(geteuid()))
  }

  @Test func waitingEndsWithTheTimeOrWithAByteOrTheEnd() throws {
    let listener = try Socket.listening(atLocalName: name("wait"))
    let near = try Socket.connected(toLocalName: name("wait"))
    let early = near.waitUntilReadable(milliseconds: 1)
    #expect(!early)
    let far = try accepted(from: listener)
    #expect(far.send([7]) == .moved(1))
    let hasByte = near.waitUntilReadable(milliseconds: patienceMilliseconds)
    #expect(hasByte)
    #expect(try near.receiveExactly(1) == [7])
    try far.endSending()
    let hasEnd = near.waitUntilReadable(milliseconds: patienceMilliseconds)
    #expect(hasEnd)
  }
}

@Suite(.timeLimit(.minutes(6))) struct DescriptorCountTests {
  /// Other tests open and close some at the same time: what is counted here are many. More than
  /// one piece of the folder is read for them.
  @Test func openDescriptorsAreCounted() throws {
    _ = try raiseDescriptorLimit()
    let before = try #require(openDescriptors())
    let many = 5_000
    var numbers: [Int32] = []
    for _ in 0..<many {
      let number = dup(0)
      guard number >= 0 else { break }
      numbers.append(number)
    }
    defer { for number in numbers { closeDescriptor(number) } }
    let after = try #require(openDescriptors())
    #expect(abs(after - before - numbers.count) < 500)
    #expect(numbers.count == many)
  }
}

@Suite struct TerminalSizeTests {
  @Test func whatIsNoTerminalHasNoSize() throws {
    let pipe = try Pipe.ofCapacity(4096, atLeast: 4096)
    #expect(terminalSize(of: pipe.output.number) == nil)
    #expect(terminalSize(of: -1) == nil)
  }

  @Test func aTerminalHasColumnsAndRows() throws {
    let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY)
    try #require(terminal >= 0)
    defer { closeDescriptor(terminal) }
    #expect(terminalSize(of: terminal) == nil, "nobody has said yet")
    var size = winsize(ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0)
    try #require(ioctl(terminal, UInt(TIOCSWINSZ), &size) == 0)
    let found = terminalSize(of: terminal)
    #expect(found?.columns == 80)
    #expect(found?.rows == 24)
  }
}
