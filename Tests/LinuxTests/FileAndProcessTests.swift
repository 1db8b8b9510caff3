// Files, output that may block, threads, clocks, limits and environment. Signals are not here: to
// queue them changes the whole test process; the black-box tests send real ones.
import Glibc
import Linux
import Testing

/// A file of its own for one test, removed with its owner.
private struct TemporaryFile: ~Copyable {
  let path: [UInt8]

  init(_ contents: [UInt8]) throws {
    var template = Array("/tmp/sidecar-test-XXXXXX".utf8CString)
    let number = mkstemp(&template)
    guard number >= 0 else { throw Failure("mkstemp: \(errno)") }
    path = template.dropLast().map { UInt8(bitPattern: $0) }
    Linux.write(contents, to: number)
    closeDescriptor(number)
  }

  var name: String { String(decoding: path, as: UTF8.self) }

  deinit { unlink(String(decoding: path, as: UTF8.self)) }
}

/// Whether the thread of this process with that name sleeps in the kernel (proc(5), stat).
func threadSleeps(named name: String) -> Bool {
  guard let tasks = opendir("/proc/self/task") else { return false }
  defer { closedir(tasks) }
  while let entry = readdir(tasks) {
    let id = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    let stat = readFile(Array("/proc/self/task/\(id)/stat".utf8), limit: 4096) ?? []
    if String(decoding: stat, as: UTF8.self).contains("(\(name)) S") { return true }
  }
  return false
}

@Suite(.timeLimit(.minutes(6))) struct FileTests {
  @Test(arguments: [0, 1, 4096, 10_000]) func aFileIsReadWhole(count: Int) throws {
    let file = try TemporaryFile(testBytes(count))
    let bytes = readFile(file.path, limit: 20_000)
    #expect(bytes == testBytes(count))
  }

  @Test(arguments: [0, 1, 4096, 4097]) func noMoreThanTheLimitIsRead(limit: Int) throws {
    let file = try TemporaryFile(testBytes(10_000))
    let bytes = readFile(file.path, limit: limit)
    #expect(bytes == testBytes(limit))
  }

  @Test func aFileOfTheKernelWithoutASizeIsRead() throws {
    let bytes = try #require(readFile(Array("/proc/self/status".utf8), limit: 65_536))
    #expect(bytes.starts(with: Array("Name:".utf8)))
  }

  @Test func aMissingFileIsNil() {
    let missing = Array("/nonexistent/file".utf8)
    #expect(readFile(missing, limit: 10) == nil)
    #expect(FileStamp(of: missing) == .missing)
  }

  @Test func aModificationTimeIsExactToTheNanosecond() throws {
    let file = try TemporaryFile([1])
    let time = timespec(tv_sec: 1_234_567_890, tv_nsec: 123_456_789)
    #expect(utimensat(AT_FDCWD, file.name, [time, time], 0) == 0)
    #expect(FileStamp(of: file.path).modified == 1_234_567_890_123_456_789)
  }

  /// As when a file is replaced within the step of a few milliseconds in which file times move.
  @Test func anotherFileOfTheSameTimeHasAnotherStamp() throws {
    let file = try TemporaryFile([1])
    let other = try TemporaryFile([1])
    let longer = try TemporaryFile([1, 2])
    let time = timespec(tv_sec: 1_234_567_890, tv_nsec: 0)
    for name in [file.name, other.name, longer.name] {
      #expect(utimensat(AT_FDCWD, name, [time, time], 0) == 0)
    }
    let stamp = FileStamp(of: file.path)
    #expect(stamp == FileStamp(of: file.path))
    #expect(stamp != FileStamp(of: other.path))
    #expect(stamp.bytes == 1 && FileStamp(of: longer.path).bytes == 2)
  }

  @Test func writingWaitsForALateReader() throws {
    let pipe = try Pipe.ofCapacity(65_536, atLeast: 65_536)
    let (output, input) = (pipe.output.number, pipe.input.number)
    let ahead = try fillWithZeros(input)
    let bytes = testBytes(200_000)
    // The name shows that it is the writer that sleeps, with the pipe full.
    let writer = try Background(name: "late-reader") { Linux.write(bytes, to: input) }
    try eventually("the writer sleeps") { threadSleeps(named: "late-reader") }
    var received: [UInt8] = []
    while received.count < ahead + bytes.count {
      try waitReadable(output)
      var piece = [UInt8](repeating: 0, count: 65_536)
      let count = read(output, &piece, piece.count)
      guard count > 0 else { throw Failure("read: \(count)") }
      received += piece.prefix(count)
    }
    try writer.wait()
    #expect(Array(received.dropFirst(ahead)) == bytes)
    withExtendedLifetime(pipe.output) {}
  }

  @Test func writingToNobodyIsAnError() {
    let error = failure { () throws(Errno) in
      let byte = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
      defer { byte.deallocate() }
      try writeAll(UnsafeRawBufferPointer(byte), to: -1)
    }
    #expect(error == .badDescriptor)
  }
}

/// Writes until the pipe takes not one byte more; how many it took.
private func fillWithZeros(_ input: Int32) throws -> Int {
  let page = [UInt8](repeating: 0, count: 4096)
  var total = 0
  for size in [4096, 1] {
    while true {
      let count = Glibc.write(input, page, size)
      guard count > 0 else { break }
      total += count
    }
  }
  guard errno == EAGAIN else { throw Failure("errno \(errno)") }
  return total
}

@Suite(.timeLimit(.minutes(6))) struct ProcessTests {
  @Test func theDescriptorLimitIsRaisedToTheHardOne() throws {
    let raised = try raiseDescriptorLimit()
    var limit = rlimit()
    #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
    #expect(limit.rlim_cur == limit.rlim_max)
    #expect(raised == Int(min(limit.rlim_cur, UInt(Int32.max))))
    let again = try raiseDescriptorLimit()
    #expect(again == raised)
  }

  @Test func theUsableCPUsAreThoseOfTheAffinity() throws {
    let status = try #require(readFile(Array("/proc/thread-self/status".utf8), limit: 65_536))
    let line = try #require(
      String(decoding: status, as: UTF8.self).split(separator: "\n")
        .first { $0.hasPrefix("Cpus_allowed:") })
    let bits = line.dropFirst("Cpus_allowed:".count)
      .compactMap { $0.hexDigitValue?.nonzeroBitCount }.reduce(0, +)
    #expect(usableCPUs() == bits)
  }

  @Test func theEnvironmentIsReadAndWhatIsUnsetIsNil() throws {
    let path = try #require(getenv("PATH"))
    #expect(environment("PATH") == Array(String(cString: path).utf8))
    #expect(environment("SIDECAR_TEST_NEVER_SET") == nil)
  }

  @Test func theMonotonicClockNeverGoesBack() {
    var last = monotonicNanoseconds()
    for _ in 0..<1_000 {
      let now = monotonicNanoseconds()
      #expect(now >= last)
      last = now
    }
  }

  @Test func theMonotonicClockIsTheKernels() {
    let before = monotonicNanoseconds()
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let after = monotonicNanoseconds()
    let between = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    #expect(before <= between && between <= after)
  }

  @Test func theWallClockCountsFrom1970() {
    // Within a day, should somebody set the clock meanwhile.
    #expect(abs(wallNanoseconds() / 1_000_000_000 - Int64(Glibc.time(nil))) < 86_400)
  }

  @Test func theProcessKnowsItsNumber() {
    #expect(processID() == Int(getpid()))
    #expect(isInit() == (getpid() == 1))
  }

  @Test func memoryIsGivenAndTakenBack() throws {
    let given = Linux.allocate(bytes: 4096)
    let memory = try #require(given)
    memory.storeBytes(of: 7, toByteOffset: 4095, as: UInt8.self)
    #expect(memory.load(fromByteOffset: 4095, as: UInt8.self) == 7)
    Linux.free(memory)
    let tooMuch = Linux.allocate(bytes: Int.max)
    #expect(tooMuch == nil)
  }

  @Test func theReleaseHasAName() { #expect(!releaseVersion().isEmpty) }
}
