// How a stream ends for its reader: the end of one direction leaves the other alone, and a reset
// arrives as a reset, after the bytes that came before it.
import Testing

@Suite(.serialized)
struct HalfCloseTests {
  /// The quiet second is where forwarders cut the other half that give it a grace time only.
  @Test(arguments: Transfer.allCases)
  func aMebibyteAndAQuietSecondAfterOneEndsEOF(transfer: Transfer) throws {
    let target = try Target()
    let stream = TestBytes(seed: 20)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let asking = try sidecar.connect(to: target)
      let telling = try sidecar.connect(to: target)
      try asking.client.send("request")
      try asking.client.finishSending()
      try asking.upstream.expect("request")
      try asking.upstream.expect(.closed)
      try telling.upstream.send("greeting")
      try telling.upstream.finishSending()
      try telling.client.expect("greeting")
      try telling.client.expect(.closed)
      pause(.seconds(1))
      try atTheSameTime(
        { try asking.upstream.sendAll(stream, count: mebibyte) },
        { try asking.client.expectAll(stream, count: mebibyte) },
        { try telling.client.sendAll(stream, count: mebibyte) },
        { try telling.upstream.expectAll(stream, count: mebibyte) })
    }
  }

  @Test(arguments: Transfer.allCases)
  func anEndWithoutAByteIsPassedOn(transfer: Transfer) throws {
    let target = try Target()
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try upstream.finishSending()
      try client.expect(.closed)
      try client.send("the other direction lives")
      try client.finishSending()
      try upstream.expect("the other direction lives")
      try upstream.expect(.closed)
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["reason"] == "closed")
      #expect(line["to_target_bytes"] == "25")
      #expect(line["to_client_bytes"] == "0")
    }
  }

  /// What the reader has not read yet when the sender closes is the forwarder's to deliver.
  @Test(arguments: Transfer.allCases)
  func bytesHeldAtACloseAreDeliveredToASlowReader(transfer: Transfer) throws {
    let target = try Target()
    let stream = TestBytes(seed: 21)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      let sent = try client.sendUntilFull(stream)
      try client.finishSending()
      try upstream.expectAll(stream, count: sent)
    }
  }
}

/// The end that resets, and the one that must be told.
enum End: String, CaseIterable, Sendable {
  case client, target

  func of<T>(_ pair: (client: T, upstream: T)) -> (breaking: T, other: T) {
    self == .client ? (pair.client, pair.upstream) : (pair.upstream, pair.client)
  }
}

@Suite(.serialized)
struct ResetTests {
  @Test(arguments: Transfer.allCases, End.allCases)
  func everyByteBeforeAResetArrivesThenTheReset(transfer: Transfer, end: End) throws {
    let target = try Target()
    let stream = TestBytes(seed: 30)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      for (number, count) in [5, 100 * kibibyte, 3 * mebibyte].enumerated() {
        let (breaking, other) = end.of(try sidecar.connectAndTalk(to: target))
        let reading = Background("reader") {
          try other.expectAll(stream, count: count, then: .reset)
        }
        try breaking.send(stream, count: count)
        try breaking.waitUntilAcknowledged()
        try breaking.reset()
        try reading.result()
        try expectResetLine(sidecar, connection: number + 1, by: end)
      }
    }
  }

  @Test(arguments: Transfer.allCases, End.allCases)
  func aResetDuringIdlenessIsPassedOn(transfer: Transfer, end: End) throws {
    let target = try Target()
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (breaking, other) = end.of(try sidecar.connectAndTalk(to: target))
      try breaking.reset()
      try other.expect(.reset)
      try expectResetLine(sidecar, connection: 1, by: end)
    }
  }

  /// A stream that was cut must never look complete to the one who reads it later.
  @Test(arguments: Transfer.allCases, End.allCases)
  func aResetReachesAReaderThatWasNotReading(transfer: Transfer, end: End) throws {
    let target = try Target()
    let stream = TestBytes(seed: 31)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (breaking, other) = end.of(try sidecar.connectAndTalk(to: target))
      let sent = try breaking.sendUntilFull(stream)
      try breaking.reset()
      let (received, ending) = try other.receiveAll(of: stream)
      #expect(ending == .reset)
      #expect(received > 0)
      #expect(received < sent, "the buffers took everything: the reader was never behind")
      try expectResetLine(sidecar, connection: 1, by: end)
    }
  }

  /// The end that finished sending resets while the other is sending to it.
  @Test(arguments: Transfer.allCases, End.allCases)
  func aResetAfterAHalfCloseStopsTheSender(transfer: Transfer, end: End) throws {
    let target = try Target()
    let stream = TestBytes(seed: 32)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (breaking, other) = end.of(try sidecar.connect(to: target))
      try breaking.send("all")
      try breaking.finishSending()
      try other.expect("all")
      try other.expect(.closed)
      _ = try other.sendUntilFull(stream)
      try breaking.reset()
      try other.waitUntilBroken()
    }
  }

  /// The end that received the other's EOF resets, with bytes sent after it and without.
  @Test(arguments: Transfer.allCases, End.allCases)
  func aResetReachesAReaderThatFinishedSending(transfer: Transfer, end: End) throws {
    let target = try Target()
    let stream = TestBytes(seed: 33)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      for (number, count) in [0, 200 * kibibyte].enumerated() {
        let (breaking, other) = end.of(try sidecar.connectAndTalk(to: target))
        try other.finishSending()
        try breaking.expect(.closed)
        let reading = Background("reader") {
          try other.expectAll(stream, count: count, then: .reset)
        }
        try breaking.send(stream, count: count)
        try breaking.waitUntilAcknowledged()
        try breaking.reset()
        try reading.result()
        try expectResetLine(sidecar, connection: number + 1, by: end)
      }
    }
  }

  /// Both ends reset at once: nobody is left to be told, and nothing may be left behind.
  @Test(arguments: Transfer.allCases)
  func resetsFromBothEndsLeaveNothingBehind(transfer: Transfer) throws {
    let target = try Target()
    let stream = TestBytes(seed: 34)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      for _ in 0..<20 {
        let (client, upstream) = try sidecar.connectAndTalk(to: target)
        try client.send(stream, count: 64 * kibibyte)
        try upstream.send(stream, count: 64 * kibibyte)
        try atTheSameTime({ try client.reset() }, { try upstream.reset() })
      }
      try eventually("all connections ended") { sidecar.count(of: "connection ended") == 20 }
    }
  }

  private func expectResetLine(_ sidecar: Sidecar, connection: Int, by end: End) throws {
    let line = try sidecar.waitForLine("connection ended") {
      $0["connection"] == String(connection)
    }
    #expect(line["reason"] == "reset", "\(line)")
    #expect(line["ended_by"] == end.rawValue, "\(line)")
  }
}

@Suite(.serialized)
struct VanishedPeerTests {
  /// The machine at one end is switched off: no FIN, no reset, no answer.
  @Test(arguments: End.allCases)
  func aVanishedPeerIsNoticedWhileIdle(end: End) throws {
    let target = try Target()
    try withSidecar(to: target, ["PEER_TIMEOUT": "1s"]) { sidecar in
      let (vanishing, other) = end.of(try sidecar.connectAndTalk(to: target))
      try vanishing.vanish()
      try other.expect(.reset)
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["reason"] == "vanished")
      #expect(line["ended_by"] == end.rawValue)
    }
  }

  @Test(arguments: Transfer.allCases, End.allCases)
  func aVanishedPeerIsNoticedWhileBytesAreOnTheWayToIt(transfer: Transfer, end: End) throws {
    let target = try Target()
    let stream = TestBytes(seed: 35)
    try withSidecar(to: target, transfer: transfer, ["PEER_TIMEOUT": "1s"]) { sidecar in
      let (vanishing, other) = end.of(try sidecar.connectAndTalk(to: target))
      try vanishing.vanish()
      try other.send(stream, count: 100 * kibibyte)
      try other.expect(.reset)
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["reason"] == "vanished")
      #expect(line["ended_by"] == end.rawValue)
    }
  }
}
