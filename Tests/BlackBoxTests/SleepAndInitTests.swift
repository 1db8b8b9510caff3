// The quiet side: sleep mode, idleness without wakeups, and the duties of process number 1.
import Foundation
import Testing

@Suite(.serialized)
struct SleepModeTests {
  @Test(arguments: [SIGTERM, SIGINT])
  func itEndsAtOnce(signal: Int32) throws {
    let times = try (0..<5).map { _ in
      var took = Duration.zero
      try withSidecar(["MODE": "sleep"]) { sidecar in
        #expect(try sidecar.waitForLine("sidecar ")["mode"] == "sleep")
        let start = ContinuousClock.now
        sidecar.process.send(signal)
        try sidecar.expectExit(0)
        took = ContinuousClock.now - start
        #expect(sidecar.log.last?.message == "stopped")
      }
      return took
    }
    #expect(times.min()! < .milliseconds(50))
  }

  @Test func itNeverWakesUpAndListensNowhere() throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      try expectNoWakeup(sidecar)
      #expect(throws: (any Error).self) { try sidecar.connect() }
      #expect(try sidecar.process.openDescriptors()["socket"] == 1, "the control socket alone")
    }
  }

  @Test func itIgnoresSIGHUP() throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      sidecar.process.send(SIGHUP)
      try expectNoWakeup(sidecar)
      #expect(!sidecar.process.hasEnded)
    }
  }
}

@Suite(.serialized)
struct IdleTests {
  @Test func aForwarderWithIdleConnectionsNeverWakesUp() throws {
    let target = try Target()
    let stream = TestBytes(seed: 70)
    let metrics = try ReservedPort()
    try withSidecar(to: target, ["METRICS_PORT": String(metrics.number)]) { sidecar in
      let pairs = try (0..<10).map { _ in try sidecar.connect(to: target) }
      for pair in pairs {
        try atTheSameTime(
          { try pair.client.send(stream, count: mebibyte) },
          { try pair.upstream.expect(stream, count: mebibyte) })
      }
      pause(.seconds(2))  // demotion and folded warnings may each need a timer once
      try expectNoWakeup(sidecar)
    }
  }
}

/// Watches for a second whether any thread runs.
private func expectNoWakeup(_ sidecar: Sidecar) throws {
  try eventually("all threads asleep") {
    let before = try sidecar.process.wakeups()
    pause(.milliseconds(100))
    return try sidecar.process.wakeups() == before
  }
  let before = try sidecar.process.wakeups()
  pause(.seconds(1))
  #expect(try sidecar.process.wakeups() == before)
}

@Suite(.serialized, .enabled(if: getuid() == 0, "unshare(1) needs root"))
struct ProcessNumberOneTests {
  @Test(arguments: ["proxy", "sleep"], [SIGTERM, SIGINT])
  func itReapsOrphansAndEndsOnASignal(mode: String, signal: Int32) throws {
    let target = try Target()
    let port = try ReservedPort()
    let settings = [
      "MODE": mode, "TARGET_HOST": "127.0.0.1", "TARGET_PORT": String(target.port),
      "LISTEN_PORT": String(port.number),
    ]
    let wrapper = ["/usr/bin/unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    let sidecar = try Sidecar(settings, wrapper: wrapper)
    defer { sidecar.process.kill() }
    try sidecar.waitUntilStarted()
    let daemon = try ProcessEntry.children(of: sidecar.process.id)[0].id

    for _ in 0..<3 { try leaveOrphan(to: daemon) }
    try eventually("three orphans are the daemon's children") {
      try ProcessEntry.children(of: daemon).count == 3
    }
    for orphan in try ProcessEntry.children(of: daemon) { kill(orphan.id, SIGKILL) }
    try eventually("no child is left, not even as a zombie") {
      try ProcessEntry.children(of: daemon).isEmpty
    }
    if mode == "proxy" {
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
    }
    kill(daemon, signal)
    try sidecar.expectExit(0)
  }

  /// A process whose parent has ended, in the daemon's own process namespace.
  private func leaveOrphan(to daemon: pid_t) throws {
    let leave = "/bin/sleep 1000 >/dev/null 2>&1 </dev/null &"
    try run("nsenter", "--target", String(daemon), "--pid", "/bin/sh", "-c", leave)
  }
}
