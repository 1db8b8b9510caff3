// Bytes get through, whole and in order, whatever their number, size and pace.
import Foundation
import Testing

@Suite(.serialized)
struct ForwardingTests {
  @Test(arguments: Transfer.allCases)
  func theServersGreetingComesFirst(transfer: Transfer) throws {
    let target = try Target()
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try upstream.send("220 welcome")
      try client.expect("220 welcome")
      try client.send("QUIT")
      try upstream.expect("QUIT")
      client.close()
      try upstream.expect(.closed)
    }
  }

  @Test(arguments: Transfer.allCases)
  func oneByteWritesArriveInOrder(transfer: Transfer) throws {
    let target = try Target()
    let (toTarget, toClient) = (TestBytes(seed: 1), TestBytes(seed: 2))
    let count = 10_000
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try atTheSameTime(
        { for position in 0..<count { try client.send(toTarget, from: position, count: 1) } },
        { for position in 0..<count { try upstream.send(toClient, from: position, count: 1) } },
        { try upstream.expect(toTarget, count: count) },
        { try client.expect(toClient, count: count) })
    }
  }

  @Test(arguments: Transfer.allCases)
  func bothDirectionsMoveAtOnce(transfer: Transfer) throws {
    let target = try Target()
    let (toTarget, toClient) = (TestBytes(seed: 3), TestBytes(seed: 4))
    let count = 20 * mebibyte + 1
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try atTheSameTime(
        { try client.sendAll(toTarget, count: count) },
        { try upstream.sendAll(toClient, count: count) },
        { try upstream.expectAll(toTarget, count: count) },
        { try client.expectAll(toClient, count: count) })
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["to_target_bytes"] == String(count))
      #expect(line["to_client_bytes"] == String(count))
      #expect(line["reason"] == "closed")
    }
  }

  /// The reader stops three times until nothing moves any more: buffers and pipes are full then.
  @Test(arguments: Transfer.allCases)
  func fiftyMebibytesReachAReaderThatPauses(transfer: Transfer) throws {
    let target = try Target()
    let stream = TestBytes(seed: 5)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      var sent = 0
      var received = 0
      for _ in 0..<3 {
        sent += try client.sendUntilFull(stream, from: sent)
        let part = (sent - received) / 2
        try upstream.expect(stream, from: received, count: part)
        received += part
      }
      let (alreadySent, alreadyReceived) = (sent, received)
      // The kernel's buffers alone may have taken more than fifty.
      let total = max(50 * mebibyte, sent + 8 * mebibyte)
      try atTheSameTime(
        { try client.sendAll(stream, from: alreadySent, count: total - alreadySent) },
        { try upstream.expectAll(stream, from: alreadyReceived, count: total - alreadyReceived) })
    }
  }

  /// A closed window is no vanished peer: TCP_USER_TIMEOUT alone would cut here, because the kernel
  /// counts unanswered progress, not unanswered packets.
  @Test func aReaderMayPauseForLongerThanThePeerTimeout() throws {
    try atTheSameTime(Transfer.allCases.map { transfer in { try pauseBothReaders(transfer) } })
  }

  private func pauseBothReaders(_ transfer: Transfer) throws {
    // A receive buffer that is set does not grow; left alone, one may take 32 MiB of the stream, as
    // the daemon's own may.
    let keepSmall: (TCPSocket) throws -> Void = { try $0.set(SO_RCVBUF, Int32(64 * kibibyte)) }
    let target = try Target(prepare: keepSmall)
    let stream = TestBytes(seed: 6)
    let count = 64 * mebibyte
    try withSidecar(to: target, transfer: transfer, ["PEER_TIMEOUT": "1s"]) { sidecar in
      let first = try sidecar.connect(to: target)
      let reader = try Peer(connectingTo: sidecar.port, prepare: keepSmall)
      let second = (client: reader, upstream: try target.accept())
      let sending = [
        Background("client") { try first.client.sendAll(stream, count: count) },
        Background("target") { try second.upstream.sendAll(stream, count: count) },
      ]
      pause(.seconds(4))
      #expect(sending.allSatisfy { !$0.isDone }, "the buffers took everything: no window closed")
      try atTheSameTime(
        { try first.upstream.expectAll(stream, count: count) },
        { try second.client.expectAll(stream, count: count) })
      for work in sending { try work.result() }
    }
  }

  /// One worker serves a stream that never pauses and small exchanges. How much of the stream
  /// passes per exchange says how long the exchanges had to wait for it.
  @Test(arguments: Transfer.allCases)
  func aBulkStreamLeavesRoomForPingPongs(transfer: Transfer) throws {
    let target = try Target()
    let stream = TestBytes(seed: 7)
    let exchanges = 400
    try withSidecar(to: target, transfer: transfer, ["WORKERS": "1"]) { sidecar in
      let bulk = try sidecar.connect(to: target)
      let small = try sidecar.connect(to: target)
      let flood = Flood(of: stream, from: bulk.upstream, to: bulk.client)
      try eventually("the bulk stream flows") { flood.moved > 8 * mebibyte }
      let before = flood.moved
      try pingPong(small.client, small.upstream, times: exchanges)
      let perExchange = (flood.moved - before) / exchanges
      #expect(perExchange > 0, "the bulk stream stood still")
      #expect(perExchange < 8 * mebibyte)
      try flood.stop()
    }
  }

  /// Urgent data is a mark in the stream: a splice stops there, a recv passes it.
  @Test(arguments: Transfer.allCases)
  func anUrgentByteDoesNotStallTheStream(transfer: Transfer) throws {
    let target = try Target()
    let stream = TestBytes(seed: 8)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      let half = 2 * mebibyte
      try atTheSameTime(
        {
          try client.send(stream, count: half)
          try client.sendUrgent(0x21)
          try client.sendAll(stream, from: half, count: half)
        },
        {
          // The mark is not passed on, the byte is.
          try upstream.expect(stream, from: 0, count: half)
          try upstream.expect("!")
          try upstream.expectAll(stream, from: half, count: half)
        })
      try upstream.send("still here")
      upstream.close()
      try client.expect("still here")
      try client.expect(.closed)
    }
  }

  /// No byte is lost to a mark, whether it comes alone or behind others that nobody has read yet,
  /// and from a target, too, whose socket is not told beforehand to keep them in the stream.
  @Test(arguments: Transfer.allCases, End.allCases)
  func urgentBytesOfAYoungConnectionArrive(transfer: Transfer, end: End) throws {
    let target = try Target()
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (sender, receiver) = end.of(try sidecar.connectAndTalk(to: target))
      try sender.sendUrgent(0x21)
      try receiver.expect("!")
      try sidecar.process.suspend()
      try sender.send("a")
      try sender.sendUrgent(0x21)
      try sender.send("b")
      try sender.waitUntilAcknowledged()
      sidecar.process.resume()
      try receiver.expect("a!b")
      sender.close()
      try receiver.expect(.closed)
    }
  }
}
