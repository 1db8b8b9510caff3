// Between a client's arrival and the target's answer: targets that refuse, stay silent or have no
// name, and clients that leave before anything was said.
import Testing

@Suite(.serialized)
struct UnreachableTargetTests {
  @Test func aRefusedClientIsResetAtOnceAndTheLogSaysWhy() throws {
    let nobody = try ReservedPort()
    let settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": String(nobody.number)]
    try withSidecar(settings) { sidecar in
      let client = try sidecar.connect()
      try client.expect(.reset)
      let line = try sidecar.waitForLine("connection failed: ")
      #expect(line.level == "warn")
      #expect(line["cause"] == "refused")
      #expect(line["connection"] == "1")
      #expect(line["client"]?.hasPrefix("127.0.0.1:") == true)
      #expect(line["target"] == "127.0.0.1:\(nobody.number)")
      #expect(line["address"] == "127.0.0.1:\(nobody.number)")
    }
  }

  @Test func aSilentTargetIsGivenUpAfterTheConnectTimeout() throws {
    let target = try Target()
    try target.goSilent()
    try withSidecar(to: target, ["CONNECT_TIMEOUT": "300ms"]) { sidecar in
      let start = ContinuousClock.now
      let client = try sidecar.connect()
      try client.expect(.reset)
      #expect(ContinuousClock.now - start >= .milliseconds(290))
      let line = try sidecar.waitForLine("connection failed: ")
      #expect(line["cause"] == "timed_out")
      try target.endSilence()
      let (next, upstream) = try sidecar.connect(to: target)
      try pingPong(next, upstream)
    }
  }

  @Test func anUnknownNameIsReportedAsSuch() throws {
    let settings = ["TARGET_HOST": "nowhere.invalid", "TARGET_PORT": "5432"]
    try withSidecar(settings) { sidecar in
      try sidecar.connect().expect(.reset)
      let line = try sidecar.waitForLine("connection failed: ")
      #expect(line["cause"] == "name_not_found")
      #expect(line["target"] == "nowhere.invalid:5432")
    }
  }

  @Test func equalWarningsAreFoldedIntoACount() throws {
    let nobody = try ReservedPort()
    let settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": String(nobody.number)]
    try withSidecar(settings) { sidecar in
      for _ in 0..<50 { try sidecar.connect().expect(.reset) }
      try sidecar.stop()
      let lines = sidecar.log.filter { $0.message.hasPrefix("connection failed: ") }
      let repeated = lines.compactMap { $0.number("repeated") }.reduce(0, +)
      #expect(lines.count < 10)
      #expect(lines.first?["repeated"] == nil)
      #expect(lines.count { $0["repeated"] == nil } + Int(repeated) == 50)
    }
  }

  /// The daemon starts whether or not its target is there, and finds it when it comes.
  @Test func aTargetThatComesLaterIsFound() throws {
    let port = try ReservedPort()
    let settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": String(port.number)]
    try withSidecar(settings) { sidecar in
      try sidecar.connect().expect(.reset)
      let target = try Target(port: port.number)
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
    }
  }
}

@Suite(.serialized)
struct LeavingClientTests {
  /// `nc -z`, made exact: the daemon is stopped until all clients have come and gone.
  @Test func clientsThatLeaveWithoutAByteCostTheTargetNothing() throws {
    let target = try Target()
    try withSidecar(to: target, ["LOG_LEVEL": "debug"]) { sidecar in
      try sidecar.process.suspend()
      for number in 0..<200 {
        let client = try sidecar.connect()
        // Load balancers and port scanners reset instead of closing.
        if number.isMultiple(of: 4) { try client.reset() } else { client.close() }
      }
      sidecar.process.resume()
      try eventually("all probes absorbed") { sidecar.count(of: "probe absorbed") == 200 }
      #expect(!target.isBeingCalled)
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
      #expect(!target.isBeingCalled)
      #expect(try sidecar.waitForLine("connection opened")["connection"] == "201")
    }
  }

  @Test func withProbesForwardedTheTargetSeesThem() throws {
    let target = try Target()
    try withSidecar(to: target, ["PROBES": "forward"]) { sidecar in
      try sidecar.process.suspend()
      for _ in 0..<20 { try sidecar.connect().close() }
      sidecar.process.resume()
      for _ in 0..<20 { try target.accept().expect(.closed) }
      #expect(!target.isBeingCalled)
    }
  }

  /// The attempt is under way when the client leaves; it must not be left to succeed.
  @Test(arguments: [false, true])
  func aClientThatLeavesDuringTheConnectCallsItOff(resetting: Bool) throws {
    let target = try Target()
    try target.goSilent()
    try withSidecar(to: target, ["LOG_LEVEL": "debug"]) { sidecar in
      let before = try sidecar.process.openDescriptors()["socket"] ?? 0
      let client = try sidecar.connect()
      try sidecar.process.waitForSockets(before + 2)
      if resetting { try client.reset() } else { client.close() }
      try sidecar.process.waitForSockets(before)
      try target.endSilence()
      let (next, upstream) = try sidecar.connect(to: target)
      try pingPong(next, upstream)
      #expect(!target.isBeingCalled)
    }
  }

  /// One byte makes the difference: this client waits for its answer, also where the end comes when
  /// the byte has been taken already.
  @Test(arguments: Transfer.allCases, [false, true])
  func anEarlyHalfCloseAfterAByteIsServed(transfer: Transfer, late: Bool) throws {
    let target = try Target()
    try target.goSilent()
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let before = try sidecar.process.openDescriptors()["socket"] ?? 0
      let client = try sidecar.connect()
      try client.send("?")
      if late {
        try sidecar.process.waitForSockets(before + 2)
        pause(.milliseconds(20))
      }
      try client.finishSending()
      if late { pause(.milliseconds(20)) }
      try target.endSilence()  // the kernel repeats its SYN after a second
      let upstream = try target.accept()
      try upstream.expect("?")
      try upstream.expect(.closed)
      try upstream.send("answer")
      upstream.close()
      try client.expect("answer")
      try client.expect(.closed)
    }
  }

  /// The connect has succeeded and the connection is over before the daemon looks: asking for the
  /// connect's result (SO_ERROR) must not swallow the reset.
  @Test(arguments: Transfer.allCases)
  func aTargetThatResetsAtOnceIsNotTakenForAnEnd(transfer: Transfer) throws {
    let target = try Target()
    try target.goSilent()
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let before = try sidecar.process.openDescriptors()["socket"] ?? 0
      let client = try sidecar.connect()
      try client.send("?")
      try sidecar.process.waitForSockets(before + 2)
      try sidecar.process.suspend()
      try target.endSilence()
      let upstream = try target.accept()
      try upstream.send(TestBytes(seed: 41), count: 5)
      try upstream.waitUntilAcknowledged()
      try upstream.reset()
      sidecar.process.resume()
      #expect(try client.receiveAll(of: TestBytes(seed: 41)).ending == .reset)
    }
  }

  /// What a client sends before the target is reached waits, and arrives whole.
  @Test(arguments: Transfer.allCases)
  func bytesSentBeforeTheTargetIsReachedArrive(transfer: Transfer) throws {
    let target = try Target()
    let stream = TestBytes(seed: 40)
    try target.goSilent()
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let client = try sidecar.connect()
      let sending = Background("client") { try client.sendAll(stream, count: 2 * mebibyte) }
      try target.endSilence()
      let upstream = try target.accept()
      try upstream.expectAll(stream, count: 2 * mebibyte)
      try sending.result()
    }
  }
}

@Suite(.serialized)
struct TargetNameTests {
  @Test func localhostIsReached() throws {
    let target = try Target()
    try withSidecar(to: target, ["TARGET_HOST": "localhost"]) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
      client.close()
      upstream.close()
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["target"] == "localhost:\(target.port)")
      #expect(line["address"] == "127.0.0.1:\(target.port)")
    }
  }

  @Test(.enabled(if: Loopback.hasIPv6), arguments: ["::1", "[::1]", "localhost"])
  func aTargetOnIPv6IsReached(host: String) throws {
    let target = try Target(on: .ipv6)
    try withSidecar(to: target, ["TARGET_HOST": host]) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
      client.close()
      upstream.close()
      #expect(
        try sidecar.waitForLine("connection ended")["address"] == "[::1]:\(target.port)")
    }
  }
}
