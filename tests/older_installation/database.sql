BEGIN TRANSACTION;
CREATE TABLE accounts (
	name VARCHAR NOT NULL, 
	password_hash VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE cases (
	id VARCHAR(16) NOT NULL, 
	name VARCHAR NOT NULL, 
	created_at VARCHAR(32) NOT NULL, 
	deleted_at VARCHAR(32), 
	model_version VARCHAR NOT NULL, 
	anterior_mm3 FLOAT NOT NULL, 
	posterior_mm3 FLOAT NOT NULL, 
	warning_count INTEGER NOT NULL, 
	report TEXT NOT NULL, 
	mask_version INTEGER DEFAULT '0' NOT NULL, 
	review VARCHAR(16) DEFAULT 'new' NOT NULL, 
	reviewer VARCHAR DEFAULT '' NOT NULL, 
	reviewed_at VARCHAR(32), 
	reason TEXT DEFAULT '' NOT NULL, 
	confidence VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "cases" VALUES('HV-ZKFVEG','old 0','2026-11-25T18:55:49.797+00:00',NULL,'1',2247.0,1966.0,0,'{"case_id": "HV-ZKFVEG", "created_at": "2026-11-25T18:55:49.797+00:00", "notice": "Research use only. Not for diagnosis.", "measures": {"anterior": {"volume_mm3": 2247.0, "volume_ml": 2.247, "voxels": 2247, "bounding_box_mm": [24.0, 16.0, 18.0], "length_mm": 27.732663552755383}, "posterior": {"volume_mm3": 1972.0, "volume_ml": 1.972, "voxels": 1972, "bounding_box_mm": [18.0, 21.0, 24.0], "length_mm": 31.311424527513346}, "total": {"volume_mm3": 4219.0, "volume_ml": 4.219, "voxels": 4219, "bounding_box_mm": [24.0, 36.0, 33.0], "length_mm": 46.913413506897925}, "anterior_share_percent": 53.259066129414556, "voxel_mm3": 1.0, "side": "side unknown on a crop", "sides": {}, "asymmetry_percent": null, "share_of_brain_percent": null}, "warnings": [], "input": {"sha256": "a01a279bee335031ab06176253f9bdaaf289d1d70897a64cd845b2ae5939d429", "size_bytes": 245352, "shape": [35, 50, 35], "spacing_mm": [1.0, 1.0, 1.0], "orientation": "RAS", "oblique_deg": 0.0}, "head": null, "model": {"version": "1", "name": "hippocampus-3d-16", "sha256": "91cf0f0a708fa384f27f92c59dd7f1cf8eef49efa0bf2c0e527509e5494a8ee7", "configuration": "3d_cpu", "labels": {"anterior": 1, "posterior": 2}}, "device": "cpu", "backend": "openvino", "precision": "int8", "mirroring": "auto", "timings_s": {"check": 0.001, "wait": 0.0, "orient": 0.0036, "segment": 0.2112, "segment_prepare": 0.0003, "segment_network_wait": 0.0001, "segment_network": 0.2102, "segment_restore": 0.0006, "measure": 0.0037, "total": 0.2195}}',2,'accepted','Dr. A','2026-11-25T18:55:52.297+00:00','','');
INSERT INTO "cases" VALUES('HV-TV4DQZ','old 2','2026-11-25T18:55:50.304+00:00','2026-11-25T18:55:52.302+00:00','1',2247.0,1972.0,0,'{"case_id": "HV-TV4DQZ", "created_at": "2026-11-25T18:55:50.304+00:00", "notice": "Research use only. Not for diagnosis.", "measures": {"anterior": {"volume_mm3": 2247.0, "volume_ml": 2.247, "voxels": 2247, "bounding_box_mm": [24.0, 16.0, 18.0], "length_mm": 27.732663552755383}, "posterior": {"volume_mm3": 1972.0, "volume_ml": 1.972, "voxels": 1972, "bounding_box_mm": [18.0, 21.0, 24.0], "length_mm": 31.311424527513346}, "total": {"volume_mm3": 4219.0, "volume_ml": 4.219, "voxels": 4219, "bounding_box_mm": [24.0, 36.0, 33.0], "length_mm": 46.913413506897925}, "anterior_share_percent": 53.259066129414556, "voxel_mm3": 1.0, "side": "side unknown on a crop", "sides": {}, "asymmetry_percent": null, "share_of_brain_percent": null}, "warnings": [], "input": {"sha256": "a01a279bee335031ab06176253f9bdaaf289d1d70897a64cd845b2ae5939d429", "size_bytes": 245352, "shape": [35, 50, 35], "spacing_mm": [1.0, 1.0, 1.0], "orientation": "RAS", "oblique_deg": 0.0}, "head": null, "model": {"version": "1", "name": "hippocampus-3d-16", "sha256": "91cf0f0a708fa384f27f92c59dd7f1cf8eef49efa0bf2c0e527509e5494a8ee7", "configuration": "3d_cpu", "labels": {"anterior": 1, "posterior": 2}}, "device": "cpu", "backend": "openvino", "precision": "int8", "mirroring": "auto", "timings_s": {"check": 0.001, "wait": 0.0, "orient": 0.0035, "segment": 0.2485, "segment_prepare": 0.0003, "segment_network_wait": 0.0001, "segment_network": 0.2475, "segment_restore": 0.0006, "measure": 0.0036, "total": 0.2567}}',0,'new','',NULL,'','');
CREATE TABLE drafts (
	case_id VARCHAR(16) NOT NULL, 
	visitor VARCHAR(64) NOT NULL, 
	base INTEGER NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	labels BLOB NOT NULL, 
	PRIMARY KEY (case_id, visitor), 
	FOREIGN KEY(case_id) REFERENCES cases (id) ON DELETE CASCADE
);
INSERT INTO "drafts" VALUES('HV-ZKFVEG','visitor-1',2,'2026-11-25T18:55:52.295+00:00',X'1F8B0800382F076B02FFEDDDE14EE3301444E138EFFFD0AC764585B46A3DB66FD2A47CE71782C10D25F430C94DBA6D000000003E98D65A3F5191499609B60600F0A93A4A3CD282480B226D2D923C52B2C17F637EF900703B63453A4A5CD36A226D25126522F3253A07009C6BAC451DB5BE245A3FD3FA9936B8CCC2D66492A53500A8145264ACA5CE32A89A16445A106993CB4499C88EB40600B5152A32D64A831A76440B226D2A32B54C9BDBE2507DD9FF058F947D16C06F3656361251D6A066EB518D6BA6227399C8A0694FFD91A23500BF595991B1DEADAC1A8FB4C39699CA64852EEEBBA9D64C4202B8ADB2821A5638121119EB9DCA2AD25199D51E671B0B95A58801B823FBBE07352C2D59078E4D7CA48E0632A5070F290BC04D8DF5DA59FB37410D53B2061FAAEEACD9F6FDC9961E18A42C00B734D69E186BEF279E66FE7CE58079C1A3262BDAA5961998F318AA509405E07A464A8CB527C6DA03633D098D46EA7AD889F3823391B9CCF36787B100DCBC4205C67A11AA50D65E1FD9A2AA56E588F7EA68E0F2AFC7877D63F9EB0070DB0A15182B6A506729ABBF2DCFDBC5CF17FF232F35AED2513602AF6201B87C875AAA50FB6085BA95B2F6E99F79F46E885DD5BC683E3FBEFDF5F04AD89FBC2D0B80CB0AABB0424D2B6BBB57CB4A94154406DE01A5EF183B33800FAF50E58313B33EAAB14DCDB9AC221F05C6EA3FFDEA0C00CAFAEF65F57ECADAD7175990CD48A4FBFCDB4F0160EB0FFBBD4559FB55227C0400BF595955156AAF881CEFA3EE5157BB20008C38ABABB4545967CE0316286B4148A18F1809004EAF6167CF5F5CE4B0DF9AB236C20280F7386B4559DBBD94B5A587FDEC1C007049670545ACEECAAC73AE265E51D6465900705569454D6C6546E3B41B600CF873ED4901005CB8891D7C9BC1236EE63E5FB3380B006E6CADC52676C01C473FA26601009E7920B15AD944FD7A84B30000A768ADC46AF3DB0A0060B5EC56BE55A7D6161E070080406B81F8A2D9FDB5882E0600B8509F5B5D0500000000FEF105B09B8DFC42EF0000');
CREATE TABLE epochs (
	job_id INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	train_loss FLOAT NOT NULL, 
	val_loss FLOAT NOT NULL, 
	dice_anterior FLOAT NOT NULL, 
	dice_posterior FLOAT NOT NULL, 
	seconds FLOAT NOT NULL, 
	checkpoint_sha256 VARCHAR(64) NOT NULL, 
	PRIMARY KEY (job_id, epoch), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE TABLE features (
	case_id VARCHAR(16) NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (case_id), 
	FOREIGN KEY(case_id) REFERENCES cases (id) ON DELETE CASCADE
);
INSERT INTO "features" VALUES('HV-ZKFVEG','{"log_mean": -0.39812173937340023, "log_sd": -1.8736075089094726, "contrast": 0.5999999166681643, "midtone": 0.6910569294372333, "skew": -1.7247137825957215, "kurtosis": 7.460583480199307, "entropy": 5.034259865212901, "sharpness": -0.3538975082609235, "gradient": -1.0431509476662264, "noise": -3.6204422391443023, "bias": 1.4042169439170669, "step_x": -1.553833368888848, "step_y": -1.7117007207887056, "step_z": -1.5780769822847116, "size_x": 35.0, "size_y": 50.0, "size_z": 35.0}');
INSERT INTO "features" VALUES('HV-TV4DQZ','{"log_mean": -0.39812173937340023, "log_sd": -1.8736075089094726, "contrast": 0.5999999166681643, "midtone": 0.6910569294372333, "skew": -1.7247137825957215, "kurtosis": 7.460583480199307, "entropy": 5.034259865212901, "sharpness": -0.3538975082609235, "gradient": -1.0431509476662264, "noise": -3.6204422391443023, "bias": 1.4042169439170669, "step_x": -1.553833368888848, "step_y": -1.7117007207887056, "step_z": -1.5780769822847116, "size_x": 35.0, "size_y": 50.0, "size_z": 35.0}');
CREATE TABLE jobs (
	id INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	created_at VARCHAR(32) NOT NULL, 
	started_at VARCHAR(32), 
	ended_at VARCHAR(32), 
	heartbeat_at VARCHAR(32), 
	host VARCHAR, 
	pid INTEGER, 
	pid_started FLOAT, 
	spec TEXT NOT NULL, 
	phase VARCHAR NOT NULL, 
	message TEXT NOT NULL, 
	version INTEGER, 
	restarts INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE mask_versions (
	case_id VARCHAR(16) NOT NULL, 
	number INTEGER NOT NULL, 
	created_at VARCHAR(32) NOT NULL, 
	author VARCHAR NOT NULL, 
	comment TEXT NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (case_id, number), 
	FOREIGN KEY(case_id) REFERENCES cases (id) ON DELETE CASCADE
);
INSERT INTO "mask_versions" VALUES('HV-ZKFVEG',1,'2026-11-25T18:55:52.031+00:00','Dr. A','one voxel','{"difference": {"anterior": {"dice": 1.0, "added_mm3": 0.0, "removed_mm3": 0.0, "volume_mm3": 0.0}, "posterior": {"dice": 0.9997463860005072, "added_mm3": 0.0, "removed_mm3": 1.0, "volume_mm3": -1.0}}, "report": {"measures": {"anterior": {"volume_mm3": 2247.0, "volume_ml": 2.247, "voxels": 2247, "bounding_box_mm": [24.0, 16.0, 18.0], "length_mm": 27.732663552755383}, "posterior": {"volume_mm3": 1971.0, "volume_ml": 1.971, "voxels": 1971, "bounding_box_mm": [18.0, 21.0, 24.0], "length_mm": 31.31011380887735}, "total": {"volume_mm3": 4218.0, "volume_ml": 4.218, "voxels": 4218, "bounding_box_mm": [24.0, 36.0, 33.0], "length_mm": 46.91392922847796}, "anterior_share_percent": 53.27169274537695, "voxel_mm3": 1.0, "side": "side unknown on a crop", "sides": {}, "asymmetry_percent": null, "share_of_brain_percent": null}, "warnings": [], "head": null, "mask": {"version": 1, "author": "Dr. A", "saved_at": "2026-11-25T18:55:52.031+00:00"}}}');
INSERT INTO "mask_versions" VALUES('HV-ZKFVEG',2,'2026-11-25T18:55:52.277+00:00','Dr. A','more','{"difference": {"anterior": {"dice": 1.0, "added_mm3": 0.0, "removed_mm3": 0.0, "volume_mm3": 0.0}, "posterior": {"dice": 0.9984763839512443, "added_mm3": 0.0, "removed_mm3": 6.0, "volume_mm3": -6.0}}, "report": {"measures": {"anterior": {"volume_mm3": 2247.0, "volume_ml": 2.247, "voxels": 2247, "bounding_box_mm": [24.0, 16.0, 18.0], "length_mm": 27.732663552755383}, "posterior": {"volume_mm3": 1966.0, "volume_ml": 1.966, "voxels": 1966, "bounding_box_mm": [18.0, 21.0, 24.0], "length_mm": 31.299890860134333}, "total": {"volume_mm3": 4213.0, "volume_ml": 4.213, "voxels": 4213, "bounding_box_mm": [24.0, 36.0, 33.0], "length_mm": 46.91613703501552}, "anterior_share_percent": 53.33491573700451, "voxel_mm3": 1.0, "side": "side unknown on a crop", "sides": {}, "asymmetry_percent": null, "share_of_brain_percent": null}, "warnings": [], "head": null, "mask": {"version": 2, "author": "Dr. A", "saved_at": "2026-11-25T18:55:52.277+00:00"}}}');
CREATE TABLE migrations (
	number INTEGER NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "migrations" VALUES(0);
INSERT INTO "migrations" VALUES(1);
INSERT INTO "migrations" VALUES(2);
INSERT INTO "migrations" VALUES(3);
CREATE TABLE promotions (
	id INTEGER NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(number) REFERENCES versions (number)
);
CREATE TABLE sessions (
	token_sha256 VARCHAR(64) NOT NULL, 
	account VARCHAR NOT NULL, 
	expires_at VARCHAR(32) NOT NULL, 
	PRIMARY KEY (token_sha256), 
	FOREIGN KEY(account) REFERENCES accounts (name) ON DELETE CASCADE
);
CREATE TABLE versions (
	number INTEGER NOT NULL, 
	stage VARCHAR(16) NOT NULL, 
	created_at VARCHAR(32) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	card_sha256 VARCHAR(64) NOT NULL, 
	card TEXT NOT NULL, 
	metrics TEXT NOT NULL, 
	lineage TEXT NOT NULL, 
	PRIMARY KEY (number)
);
CREATE TABLE wrong_passwords (
	id INTEGER NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_cases_created_at ON cases (created_at);
CREATE INDEX ix_jobs_state ON jobs (state);
CREATE INDEX ix_wrong_passwords_at ON wrong_passwords (at);
COMMIT;
