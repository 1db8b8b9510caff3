// What the poller tells, and how often; counters that wake it.
import Glibc
import Linux
import Testing

@Suite(.timeLimit(.minutes(6))) struct PollerTests {
  @Test func aChangeIsToldOnce() throws {
    let connection = try Connection()
    let poller = try Poller()
    try watch(connection.far.number, with: poller.number, for: .changes, token: 42)
    let atFirst = try onlyEvent(of: poller)
    #expect(atFirst.token == 42)
    #expect(atFirst.readiness.isWritable && !atFirst.readiness.isReadable)
    let silent = poller.wait(milliseconds: 0)
    #expect(silent == 0)
    _ = connection.near.send([1])
    let first = try onlyEvent(of: poller)
    #expect(first.readiness.isReadable && !first.readiness.hasEnded)
    // The byte is still there.
    let afterwards = poller.wait(milliseconds: 0)
    #expect(afterwards == 0)
    _ = connection.near.send([2])
    let second = try onlyEvent(of: poller)
    #expect(second.readiness.isReadable)
  }

  @Test func readingIsToldAsLongAsThereIsSomethingToRead() throws {
    let connection = try Connection()
    let poller = try Poller()
    try watch(connection.far.number, with: poller.number, for: .reading, token: 7)
    let before = poller.wait(milliseconds: 0)
    #expect(before == 0)
    _ = connection.near.send([1])
    for _ in 0..<3 {
      let event = try onlyEvent(of: poller)
      #expect(event.token == 7 && event.readiness.isReadable)
    }
    _ = try connection.far.receiveExactly(1)
    let after = poller.wait(milliseconds: 0)
    #expect(after == 0)
  }

  @Test func aWaitingClientWakesAPollerUntilItIsAccepted() throws {
    let listener = try Socket.listening(on: .loopback(port: 0), port: 0, keepalive: keepalive)
    let one = try Poller()
    let two = try Poller()
    try watch(listener.number, with: one.number, for: .accepting, token: 1)
    try watch(listener.number, with: two.number, for: .accepting, token: 2)
    let nobody = one.wait(milliseconds: 0) + two.wait(milliseconds: 0)
    #expect(nobody == 0)
    let address = try listener.localAddress()
    let socket = try Socket.stream(for: address)
    let result = try finishConnecting(socket, to: address)
    #expect(result == .connected)
    try waitReadable(listener.number)
    // Neither waits now, so the kernel may tell both; nobody must be told nothing.
    let told = one.wait(milliseconds: 0) + two.wait(milliseconds: 0)
    #expect(told >= 1)
    let accepted = try #require(try listener.accept())
    closeDescriptor(accepted.number)
    let after = one.wait(milliseconds: 0) + two.wait(milliseconds: 0)
    #expect(after == 0)
    unwatch(listener.number, with: one.number)
  }

  @Test func watchingAgainTellsAgainUnderTheNewToken() throws {
    let connection = try Connection()
    let poller = try Poller()
    try watch(connection.far.number, with: poller.number, for: .changes, token: 1)
    _ = try onlyEvent(of: poller)
    try rewatch(connection.far.number, with: poller.number, for: .changes, token: UInt64.max)
    let event = try onlyEvent(of: poller)
    #expect(event.token == UInt64.max && event.readiness.isWritable)
  }

  @Test func whatIsNoLongerWatchedIsSilent() throws {
    let connection = try Connection()
    let poller = try Poller()
    try watch(connection.far.number, with: poller.number, for: .reading, token: 1)
    _ = connection.near.send([1])
    _ = try onlyEvent(of: poller)
    unwatch(connection.far.number, with: poller.number)
    let count = poller.wait(milliseconds: 0)
    #expect(count == 0)
  }

  @Test func watchingWhatIsNotThereIsAnError() throws {
    let poller = try Poller()
    let error = failure { () throws(Errno) in
      try watch(-1, with: poller.number, for: .changes, token: 1)
    }
    #expect(error == .badDescriptor)
  }

  @Test func anEndAndAnErrorAreToldApart() throws {
    let ended = try Connection()
    let reset = try Connection()
    try ended.near.endSending()
    reset.near.resetOnClose()
    close(reset.near)
    let atEnd = try changes(of: ended.far.number) { $0.hasEnded }
    let atReset = try changes(of: reset.far.number) { $0.hasError }
    #expect(atEnd.isReadable && !atEnd.hasError)
    #expect(atReset.hasEnded)
  }

  @Test func anUrgentByteIsTold() throws {
    let connection = try Connection()
    var urgent: UInt8 = 2
    let sent = send(connection.near.number, &urgent, 1, Int32(MSG_OOB))
    #expect(sent == 1)
    let readiness = try changes(of: connection.far.number) { $0.isUrgent }
    #expect(readiness.isReadable && !readiness.hasEnded)
  }

  @Test func readinessAddsUp() {
    var readiness = Readiness(bits: 0)
    #expect(readiness.isNothing)
    readiness.merge(Readiness(bits: 0x1))
    readiness.merge(Readiness(bits: 0x4))
    #expect(readiness.isReadable && readiness.isWritable && !readiness.isUrgent)
  }

  @Test func aCounterWakesAPollerUntilItIsTaken() throws {
    let counter = try EventCounter(blocking: false)
    let poller = try Poller()
    try watch(counter.descriptor.number, with: poller.number, for: .reading, token: 3)
    counter.take()  // takes nothing, and does not wait
    let before = poller.wait(milliseconds: 0)
    #expect(before == 0)
    counter.signal()
    counter.signal()
    let event = try onlyEvent(of: poller)
    #expect(event.token == 3)
    counter.take()
    let after = poller.wait(milliseconds: 0)
    #expect(after == 0)
  }

  @Test func aBlockingCounterWaitsForItsSignal() throws {
    final class Shared: Sendable {
      let counter: EventCounter
      init() throws(Errno) { counter = try EventCounter(blocking: true) }
    }
    let shared = try Shared()
    let waiter = try Background(name: "counter-wait") { shared.counter.take() }
    try eventually("the thread sleeps") { threadSleeps(named: "counter-wait") }
    shared.counter.signal()
    try waiter.wait()
    #expect(!polls(shared.counter.descriptor.number, POLLIN, within: 0))
  }
}

private func onlyEvent(of poller: borrowing Poller) throws -> Event {
  let count = poller.wait(milliseconds: patienceMilliseconds)
  guard count == 1 else { throw Failure("\(count) events instead of one") }
  return poller.event(0)
}

/// Watches until what was told includes what is looked for; all that was told so far.
private func changes(of number: Int32, until isEnough: (Readiness) -> Bool) throws -> Readiness {
  let poller = try Poller()
  try watch(number, with: poller.number, for: .changes, token: 1)
  var all = Readiness(bits: 0)
  while !isEnough(all) { all.merge(try onlyEvent(of: poller).readiness) }
  return all
}
