// What is done with a connected socket, and what the kernel tells of it.
import Glibc
import Linux
import Testing

@Suite(.timeLimit(.minutes(6))) struct SocketTests {
  @Test func bytesArriveAsTheyWereSent() throws {
    let connection = try Connection()
    let bytes = testBytes(5_000)
    let sent = connection.near.send(bytes)
    #expect(sent == .moved(5_000))
    let received = try connection.far.receiveExactly(5_000)
    #expect(received == bytes)
  }

  @Test func nothingToReceiveIsNotTheEnd() throws {
    let connection = try Connection()
    var byte: UInt8 = 0
    let received = connection.far.receive(into: &byte, limit: 1)
    let peeked = connection.far.peek()
    #expect(received == .wouldBlock && peeked == .wouldBlock)
  }

  @Test func peekingTakesNothing() throws {
    let connection = try Connection()
    _ = connection.near.send([7, 8])
    try waitReadable(connection.far.number)
    let (first, second) = (connection.far.peek(), connection.far.peek())
    #expect(first == .moved(1) && second == .moved(1))
    let bytes = try connection.far.receiveExactly(2)
    #expect(bytes == [7, 8])
  }

  @Test func endingOneDirectionLeavesTheOther() throws {
    let connection = try Connection()
    _ = connection.near.send([1])
    try connection.near.endSending()
    let first = try connection.far.receiveExactly(1)
    let (end, _) = try connection.far.receive(1)
    let peeked = connection.far.peek()
    #expect(first == [1] && end == .ended && peeked == .ended)
    let answered = connection.far.send([2])
    #expect(answered == .moved(1))
    let answer = try connection.near.receiveExactly(1)
    #expect(answer == [2])
    let late = connection.near.send([3])
    #expect(late == .failed(.brokenPipe))
  }

  @Test func aResetIsReadAsAReset() throws {
    let connection = try Connection()
    connection.near.resetOnClose()
    close(connection.near)
    let far = connection.far
    let (result, _) = try far.receive(1)
    #expect(result == .failed(.connectionReset))
  }

  @Test func aPendingErrorIsTakenOnce() throws {
    let connection = try Connection()
    let before = connection.far.takeError()
    #expect(before == nil)
    connection.near.resetOnClose()
    close(connection.near)
    try waitReadable(connection.far.number)
    let (first, second) = (connection.far.takeError(), connection.far.takeError())
    #expect(first == .connectionReset && second == nil)
  }

  @Test func aClosedPeerTurnsSendingIntoAnErrorNotASignal() throws {
    let connection = try Connection()
    connection.near.resetOnClose()
    close(connection.near)
    try waitReadable(connection.far.number)
    let (first, second) = (connection.far.send([1]), connection.far.send([1]))
    #expect(first == .failed(.connectionReset) || first == .failed(.brokenPipe))
    #expect(second == .failed(.brokenPipe))
  }

  @Test func theKernelOfThePeerAcknowledgesWithoutItsReading() throws {
    let connection = try Connection()
    _ = connection.near.send([1, 2, 3])
    try eventually("all acknowledged") { connection.near.unacknowledgedBytes() == 0 }
    try connection.near.endSending()
    try eventually("the end acknowledged") { connection.near.unacknowledgedBytes() == 0 }
  }

  @Test func aPeerThatDoesNotReadClosesItsWindow() throws {
    let connection = try Connection()
    let taken = try connection.near.sendUntilFull()
    var state: SendState?
    try eventually("window closed, nothing in flight") {
      state = connection.near.sendState()
      guard let state, state.segmentsInFlight == 0, state.unsentBytes > 0 else { return false }
      return state.windowBytes == nil || state.windowBytes == 0
    }
    let held = connection.near.unacknowledgedBytes()
    #expect(held > 0 && held < taken && held == state?.unsentBytes)
    try connection.near.endSending()
    let withEnd = connection.near.unacknowledgedBytes()
    #expect(withEnd == held + 1, "the FIN counts as one")
  }

  @Test func aWindowOpensAgainWhenThePeerReads() throws {
    let connection = try Connection()
    let taken = try connection.near.sendUntilFull()
    let received = try connection.far.receiveExactly(taken)
    #expect(received.count == taken)
    try eventually("all acknowledged") { connection.near.unacknowledgedBytes() == 0 }
    let told = connection.near.sendState()
    let state = try #require(told)
    #expect(state.unsentBytes == 0 && state.segmentsInFlight == 0)
    #expect(state.probesUnanswered == 0)
    #expect(state.windowBytes ?? 1 > 0)
    #expect(state.millisecondsSinceAcknowledgement < Int64(patienceMilliseconds))
  }

  @Test func anUrgentByteStaysInTheStream() throws {
    let connection = try Connection()
    _ = connection.near.send([1])
    var urgent: UInt8 = 2
    let sent = send(connection.near.number, &urgent, 1, Int32(MSG_OOB))
    #expect(sent == 1)
    _ = connection.near.send([3])
    let bytes = try connection.far.receiveExactly(3)
    #expect(bytes == [1, 2, 3])
  }
}
